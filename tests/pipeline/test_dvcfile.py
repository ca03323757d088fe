"""dvc.yaml follows from the list of stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from hallmark.pipeline import dvcfile
from hallmark.pipeline.stage import Stage

INGEST = Stage(name="ingest", inputs=(), outputs=("ingest",), shared=("seed",), sources=("ingest.source",))
TRAIN = Stage(name="train", inputs=("ingest", "review"), outputs=("train", "plots"))
EVALUATE = Stage(name="evaluate", inputs=("train",), outputs=("evaluate", "metrics"))
REPORT = Stage(name="report", inputs=("reports", "ledger"), outputs=("page",))
STAGES = (INGEST, TRAIN, EVALUATE, REPORT)


def rendered(*stages: Stage) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(dvcfile.render(stages or STAGES))
    return document


def test_the_file_says_what_it_is_rendered_from() -> None:
    text = dvcfile.render(STAGES)
    assert text.startswith("# Rendered from tasks/__init__.py by")
    assert text.splitlines()[1] == "stages:"
    assert text.endswith("\n")
    assert max(map(len, text.splitlines())) <= 130


def test_code_and_demo_come_before_the_stages_in_their_order() -> None:
    assert list(rendered()["stages"]) == ["code", "demo", "ingest", "train", "evaluate", "report"]
    assert list(rendered(EVALUATE, INGEST)["stages"]) == ["code", "demo", "evaluate", "ingest"]


def test_a_stage_depends_on_its_sources_inputs_and_code_and_caches_its_outputs() -> None:
    assert rendered()["stages"]["ingest"] == {
        "cmd": "python -m tasks ingest",
        "deps": ["${ingest.source}", "data/code/ingest.sha256"],
        "params": ["ingest", "seed"],
        "outs": ["data/ingest", {"reports/ingest.json": {"cache": False}}],
    }
    assert rendered()["stages"]["train"] == {
        "cmd": "python -m tasks train",
        "deps": ["data/ingest", "data/review.csv", "data/code/train.sha256"],
        "params": ["train"],
        "outs": ["data/train", "reports/plots/train", {"reports/train.json": {"cache": False}}],
    }


def test_metrics_are_no_cached_output() -> None:
    entry = rendered()["stages"]["evaluate"]
    assert entry["outs"] == ["data/evaluate", {"reports/evaluate.json": {"cache": False}}]
    assert entry["metrics"] == [{"reports/metrics.json": {"cache": False}}]
    assert [name for name, each in rendered()["stages"].items() if "metrics" in each] == ["evaluate"]


def test_who_reads_the_reports_depends_on_each_other_stage_s_report_and_plots() -> None:
    assert rendered()["stages"]["report"]["deps"] == [
        "reports/ingest.json",
        "reports/train.json",
        "reports/evaluate.json",
        "reports/plots/train",
        "reports/ledger.csv",
        "data/code/report.sha256",
    ]


def test_code_is_a_stage_over_all_packages_and_demo_over_its_digest() -> None:
    code, demo = rendered()["stages"]["code"], rendered()["stages"]["demo"]
    assert (code["cmd"], code["deps"], code["outs"]) == ("python -m tasks code", ["hallmark", "tasks"], ["data/code"])
    assert demo["cmd"] == "python -m hallmark.images.demo data/demo"
    assert (demo["deps"], demo["outs"]) == (["data/code/demo.sha256"], ["data/demo"])
    assert code["desc"]
    assert demo["desc"]


def test_each_digest_file_is_about_a_module() -> None:
    assert dvcfile.modules([INGEST, TRAIN]) == {
        "demo": "hallmark.images.demo",
        "ingest": "tasks.ingest",
        "train": "tasks.train",
    }
    assert dvcfile.digest_file("train") == Path("data/code/train.sha256")


def test_the_plots_name_columns_of_the_files_that_stages_write() -> None:
    plots = {path: options for plot in rendered()["plots"] for path, options in plot.items()}
    assert [path.rpartition("/")[2] for path in plots] == ["history.csv", "confusion.csv", "calibration.csv"]
    history, confusion, calibration = plots.values()
    assert (history["x"], history["y"]) == ("epoch", ["train_loss", "val_loss"])
    assert (confusion["x"], confusion["y"], confusion["template"]) == ("predicted", "actual", "confusion")
    assert (calibration["x"], calibration["y"]) == ("confidence", "accuracy")
    assert all(options["title"] for options in plots.values())
