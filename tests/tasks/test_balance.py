"""The stage balance: a plan for the training images that clean kept, and counts that reconcile."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from hallmark.contracts.errors import GateRefused, InputError
from hallmark.contracts.tables import DECISIONS, PLAN, SPLIT, read_table, write_table
from tasks import balance

if TYPE_CHECKING:
    from pathlib import Path

VALUES: dict[str, Any] = {
    "seed": 0,
    "strategy": "auto",
    "weight_scheme": "effective_number",
    "beta": 0.999,
    "max_repeats": 10,
    "min_images": 5,
    "repeat_threshold": None,
    "sampler_power": 1.0,
    "adjustment_tau": 1.0,
    "focal_gamma": 2.0,
    "auto_mild": 2.0,
    "auto_severe": 20.0,
}


def make_inputs(root: Path, counts: dict[str, int]) -> dict[str, Path]:
    """``counts`` training images per class (the first removed, the second down-weighted), half as many val images."""
    rows = []
    for label, count in counts.items():
        rows += [(f"{label}/{i:03d}.png", label, "train") for i in range(count)]
        rows += [(f"{label}/v{i:03d}.png", label, "val") for i in range(count // 2)]
    frame = pd.DataFrame(rows, columns=["path", "label", "split"])
    frame = frame.assign(group=None, cluster=frame["path"], cluster_size=1, representative=True, reasons="")
    first, second = frame["path"].str.endswith("/000.png"), frame["path"].str.endswith("/001.png")
    decisions = frame.assign(
        found_label=frame["label"], fate="kept", stage="", weight=1.0, outlier_score=0.0, label_quality=1.0,
        suggested_label=None,
    )  # fmt: skip
    decisions.loc[first, ["fate", "stage", "reasons"]] = ["removed", "clean", "outlier"]
    decisions.loc[second, "weight"] = 0.5
    folders = {name: root / name for name in ("split", "clean", "balance")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    write_table(frame, SPLIT, folders["split"] / "split.parquet")
    write_table(decisions[list(DECISIONS)], DECISIONS, folders["clean"] / "decisions.parquet")
    return folders


def test_plan_holds_the_training_images_that_clean_kept(tmp_path: Path) -> None:
    folders = make_inputs(tmp_path, {"cat": 41, "dog": 9})
    report = balance.run(balance.Params(**VALUES), **folders)
    plan = read_table(folders["balance"] / "plan.parquet", PLAN)
    assert len(plan) == report.n_images == 40 + 8
    assert not plan["path"].str.contains("/v").any()
    assert "cat/000.png" not in set(plan["path"])
    weights = dict(zip(plan["path"], plan["weight"], strict=True))
    assert weights["cat/001.png"] == pytest.approx(0.5 * weights["cat/002.png"])
    assert report.down_weighted == 2
    assert report.strategy == "class_weights"
    assert report.imbalance_before == 5.0
    assert [(row["label"], row["before"], row["after"]) for row in report.classes] == [("cat", 40, 40), ("dog", 8, 8)]
    assert json.loads(json.dumps(dataclasses.asdict(report), allow_nan=False)) == dataclasses.asdict(report)


def test_counts_after_are_those_of_the_plan(tmp_path: Path) -> None:
    for strategy in ("oversample", "undersample", "weighted_sampler"):
        folders = make_inputs(tmp_path / strategy, {"cat": 41, "dog": 9})
        report = balance.run(balance.Params(**{**VALUES, "strategy": strategy}), **folders)
        plan = read_table(folders["balance"] / "plan.parquet", PLAN)
        assert report.imbalance_after == pytest.approx(1.0)
        assert sum(row["after"] for row in report.classes) == report.n_shown == plan["repeats"].sum()
        assert sum(row["left_out"] for row in report.classes) == (plan["repeats"] == 0).sum()


def test_a_single_class_is_refused(tmp_path: Path) -> None:
    folders = make_inputs(tmp_path, {"cat": 12})
    with pytest.raises(GateRefused, match="fewer than two classes are left \\(cat\\)"):
        balance.run(balance.Params(**VALUES), **folders)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strategy": "oversmple"}, "strategy is 'oversmple'; did you mean 'oversample'"),
        ({"weight_scheme": "inv"}, "weight_scheme"),
        ({"beta": 1.5}, "beta is 1.5, outside"),
        ({"max_repeats": 0}, "max_repeats is 0, below 1"),
        ({"repeat_threshold": 2.0}, "repeat_threshold"),
        ({"adjustment_tau": 0.0}, "adjustment_tau"),
        ({"focal_gamma": -1.0}, "focal_gamma"),
        ({"auto_severe": 1.5}, r"auto_severe is 1.5, below auto_mild \(2\); raise auto_severe or lower auto_mild"),
    ],
)
def test_params_out_of_range_are_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        balance.Params(**{**VALUES, **change})
