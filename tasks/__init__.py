"""WHAT: the pipeline as data, and one file per stage.

``STAGES`` is the only list of the stages; dvc.yaml is rendered from it, the Prefect flow walks it, and contract tests
hold the files of this folder, the sections of params.yaml and the signature of every ``run`` against it.
"""

from __future__ import annotations

from hallmark.pipeline.stage import Stage

STAGES = (
    Stage(name="ingest", inputs=(), outputs=("ingest",), sources=("ingest.source", "ingest.images")),
    Stage(
        name="validate", inputs=("ingest", "review", "accepted"), outputs=("validate",), sources=("validate.suites",)
    ),
    Stage(name="split", inputs=("ingest", "validate"), outputs=("split",), shared=("seed",)),
    Stage(
        name="clean",
        inputs=("ingest", "validate", "split", "review"),
        outputs=("clean", "ledger"),
        shared=("seed",),
        sources=("clean.out_of_fold",),
    ),
    Stage(name="balance", inputs=("split", "clean"), outputs=("balance",), shared=("seed",)),
    Stage(
        name="augment",
        inputs=("ingest", "split", "clean", "balance"),
        outputs=("augment", "plots"),
        shared=("seed",),
    ),
    Stage(
        name="synthesize",
        inputs=("ingest", "split", "clean", "balance", "augment"),
        outputs=("synthesize", "plots"),
        shared=("seed",),
        sources=("synthesize.external",),
    ),
    Stage(
        name="train",
        inputs=("ingest", "split", "clean", "balance", "augment", "synthesize"),
        outputs=("train", "plots"),
        shared=("seed", "model", "objective", "tracking"),
    ),
    Stage(
        name="evaluate",
        inputs=("ingest", "validate", "split", "clean", "train"),
        outputs=("evaluate", "plots", "metrics"),
        shared=("seed", "objective"),
    ),
    Stage(
        name="register",
        inputs=("augment", "train", "evaluate"),
        outputs=("register",),
        shared=("seed", "objective", "tracking"),
    ),
    Stage(
        name="report",
        inputs=(
            "ingest",
            "validate",
            "split",
            "clean",
            "balance",
            "augment",
            "synthesize",
            "train",
            "evaluate",
            "register",
            "ledger",
            "reports",
            "ablation",
        ),
        outputs=("page",),
    ),
)

SHARED = ("seed", "model", "objective", "tracking")
