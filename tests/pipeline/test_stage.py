"""A stage as data: where its inputs and outputs are."""

from __future__ import annotations

from pathlib import Path

import pytest

from hallmark.pipeline.stage import Stage

STAGE = Stage(
    name="clean",
    inputs=("split", "review", "accepted", "ablation"),
    outputs=("clean", "ledger"),
    shared=("seed", "model"),
)


@pytest.mark.parametrize(
    ("keyword", "path"),
    [
        ("split", "data/split"),
        ("clean", "data/clean"),
        ("review", "data/review.csv"),
        ("accepted", "data/accepted.json"),
        ("ablation", "data/ablation.json"),
        ("ledger", "reports/ledger.csv"),
        ("plots", "reports/plots/clean"),
        ("reports", "reports"),
        ("metrics", "reports/metrics.json"),
        ("page", "reports/index.html"),
    ],
)
def test_each_keyword_is_a_path_below_the_root(keyword: str, path: str) -> None:
    assert STAGE.path(keyword) == Path(path)


def test_files_in_git_are_the_inputs_that_no_stage_makes() -> None:
    assert STAGE.git_inputs == [Path("data/review.csv"), Path("data/accepted.json"), Path("data/ablation.json")]


def test_a_report_has_the_name_of_its_stage() -> None:
    assert STAGE.report == Path("reports/clean.json")


@pytest.mark.parametrize(
    ("field", "key"), [("seed", "seed"), ("model.name", "model.name"), ("lr", "clean.lr"), ("a.model", "clean.a.model")]
)
def test_shared_values_have_keys_of_their_own(field: str, key: str) -> None:
    assert STAGE.key(field) == key


def test_the_ledger_the_metrics_and_the_page_are_files() -> None:
    files = [
        keyword
        for keyword in ("clean", "plots", "reports", "ledger", "metrics", "page")
        if not STAGE.makes_folder(keyword)
    ]
    assert files == ["ledger", "metrics", "page"]
