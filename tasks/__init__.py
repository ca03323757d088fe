"""WHAT: the pipeline as data, and one file per stage.

``STAGES`` is the only list of the stages; dvc.yaml is rendered from it, the Prefect flow walks it, and contract tests
hold the files of this folder, the sections of params.yaml and the signature of every ``run`` against it.
"""

from __future__ import annotations

from hallmark.pipeline.stage import Stage

STAGES = (
    Stage(
        name="ingest",
        does="finding and storing the files",
        inputs=(),
        outputs=("ingest",),
        sources=("ingest.source", "ingest.images"),
    ),
    Stage(
        name="validate",
        does="measuring and checking every image",
        inputs=("ingest", "review", "accepted"),
        outputs=("validate",),
        sources=("validate.suites",),
    ),
    Stage(
        name="split",
        does="finding copies, dividing into train, val and test",
        inputs=("ingest", "validate"),
        outputs=("split",),
        shared=("seed",),
    ),
    Stage(
        name="clean",
        does="searching for outliers and wrong labels",
        inputs=("ingest", "validate", "split", "review"),
        outputs=("clean", "ledger"),
        shared=("seed",),
        sources=("clean.out_of_fold",),
    ),
    Stage(
        name="balance",
        does="planning how often each image is seen",
        inputs=("split", "clean"),
        outputs=("balance",),
        shared=("seed",),
    ),
    Stage(
        name="augment",
        does="auditing the augmentation policy",
        inputs=("ingest", "split", "clean", "balance"),
        outputs=("augment", "plots"),
        shared=("seed",),
    ),
    Stage(
        name="synthesize",
        does="making and testing synthetic images",
        inputs=("ingest", "split", "clean", "balance", "augment"),
        outputs=("synthesize", "plots"),
        shared=("seed",),
        sources=("synthesize.external",),
    ),
    Stage(
        name="train",
        does="training the network",
        inputs=("ingest", "split", "clean", "balance", "augment", "synthesize"),
        outputs=("train", "plots"),
        shared=("seed", "model", "objective", "tracking"),
    ),
    Stage(
        name="evaluate",
        does="judging the model on the test set",
        inputs=("ingest", "validate", "split", "clean", "balance", "augment", "train"),
        outputs=("evaluate", "plots", "metrics"),
        shared=("seed", "objective"),
    ),
    Stage(
        name="register",
        does="comparing with the champion, registering",
        inputs=("augment", "train", "evaluate"),
        outputs=("register",),
        shared=("seed", "objective", "tracking"),
    ),
    Stage(
        name="report",
        does="writing the report",
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
