"""Counts of a judged set: every file has one fate, and the counts add up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from hallmark.quality import set_summary


def judged(**changes: Any) -> pd.DataFrame:
    """Five files: two sound images of a cat, a flagged dog, a quarantined dog, and a stray text file."""
    columns: dict[str, Any] = {
        "path": ["cat/1.png", "cat/2.png", "dog/1.jpg", "dog/2.jpg", "notes.txt"],
        "label": pd.array(["cat", "cat", "dog", "dog", pd.NA], dtype="string"),
        "group": pd.array([pd.NA, "g", pd.NA, pd.NA, pd.NA], dtype="string"),
        "given_split": pd.array(["train", pd.NA, "test", pd.NA, pd.NA], dtype="string"),
        "reasons": pd.array(["", "", "blurry", "blurry;too_dark", "stray_file"], dtype="string"),
        "quarantined": [False, False, False, True, True],
        "format": ["PNG", "PNG", "JPEG", "JPEG", ""],
        "mode": ["RGB", "L", "RGB", "RGB", ""],
        "width": [8, 8, 16, 16, 0],
        "height": [8, 8, 4, 32, 0],
    }
    columns |= {name: [0.0, 0.1, 0.2, 0.3, np.nan] for name in set_summary.MEASURES}
    return pd.DataFrame(columns | changes)


def test_a_fate_is_quarantined_before_flagged_before_kept() -> None:
    fates = set_summary.fates(judged())
    assert fates.tolist() == ["kept", "kept", "flagged", "quarantined", "quarantined"]
    assert fates.dtype == "string"
    assert set_summary.fates(judged().set_index("path"))["dog/1.jpg"] == "flagged"


def test_the_summary_counts_files_images_and_fates() -> None:
    summary = set_summary.summary(judged())
    assert [summary[name] for name in ("found", "images", "kept", "flagged", "quarantined")] == [5, 4, 2, 1, 2]
    assert summary["formats"] == {"JPEG": 2, "PNG": 2}
    assert summary["modes"] == {"L": 1, "RGB": 3}
    assert list(summary["modes"]) == ["L", "RGB"]


def test_reasons_are_counted_with_the_images_they_quarantine() -> None:
    assert set_summary.summary(judged())["reasons"] == {
        "stray_file": {"images": 1, "quarantined": 1},
        "too_dark": {"images": 1, "quarantined": 1},
        "blurry": {"images": 2, "quarantined": 1},
    }


def test_classes_are_counted_by_fate_and_no_label_is_a_row_of_its_own() -> None:
    classes = set_summary.summary(judged())["classes"]
    assert list(classes) == ["", "cat", "dog"]
    assert classes["cat"] == {"found": 2, "usable": 2, "kept": 2, "flagged": 0, "quarantined": 0}
    assert classes["dog"] == {"found": 2, "usable": 1, "kept": 0, "flagged": 1, "quarantined": 1}
    assert classes[""] == {"found": 1, "usable": 0, "kept": 0, "flagged": 0, "quarantined": 1}


def test_sizes_are_listed_by_count_and_then_by_name() -> None:
    sizes = set_summary.summary(judged())["sizes"]
    assert sizes["distinct"] == 3
    assert list(sizes["most_common"].items()) == [("8x8", 2), ("16x32", 1), ("16x4", 1)]
    assert sizes["width"] == {"min": 8, "q05": 8, "median": 12, "q95": 16, "max": 16}
    assert sizes["height"]["min"] == 4
    assert sizes["height"]["max"] == 32


def test_ten_sizes_are_listed_at_most() -> None:
    n = 12
    table = pd.concat([judged().iloc[:1]] * n, ignore_index=True).assign(width=range(1, n + 1))
    sizes = set_summary.summary(table)["sizes"]
    assert sizes["distinct"] == 12
    assert len(sizes["most_common"]) == 10


def test_measures_are_quantiles_of_the_images_alone() -> None:
    measures = set_summary.summary(judged())["measures"]
    assert set(measures) == set(set_summary.MEASURES)
    assert measures["noise"] == {"min": 0.0, "q05": 0.015, "median": 0.15, "q95": 0.285, "max": 0.3}
    third = judged(noise=[1 / 3] * 5)
    assert set_summary.summary(third)["measures"]["noise"]["median"] == 0.333333


def test_a_set_without_images_has_no_distributions() -> None:
    summary = set_summary.summary(judged().iloc[4:])
    assert summary["images"] == 0
    assert summary["measures"] == summary["sizes"] == summary["formats"] == {}
    assert summary["found"] == summary["quarantined"] == 1


def outcome(severity: str, *, success: bool = True, left_out: bool = False) -> dict[str, Any]:
    plain = {"suite": "s", "name": "n", "columns": ["c"], "reason": "r", "unexpected": 3, "observed": 0.5, "more": 1}
    return plain | {"severity": severity, "success": success, "left_out": left_out}


def test_expectations_are_counted_by_severity_and_failures_listed() -> None:
    outcomes = [
        outcome("critical"),
        outcome("critical", success=False),
        outcome("warning", success=False, left_out=True),
        outcome("info"),
    ]
    summary = set_summary.expectations(outcomes)
    assert summary["checked"] == 3
    assert summary["left_out"] == 1
    assert summary["held"] == {"critical": [1, 2], "warning": [0, 0], "info": [1, 1]}
    assert summary["failed"] == [
        {
            "suite": "s",
            "name": "n",
            "columns": ["c"],
            "severity": "critical",
            "reason": "r",
            "unexpected": 3,
            "observed": 0.5,
        }
    ]


def test_the_ledger_of_a_refused_set_names_the_stage_of_each_finding() -> None:
    rows = set_summary.ledger(judged()).set_index("path")
    assert rows["fate"].to_dict() == dict(zip(judged()["path"], set_summary.fates(judged()), strict=True))
    assert rows["stage"].fillna("").tolist() == ["", "", "validate", "validate", "validate"]
    assert rows.loc["cat/1.png", "split"] == "train"
    assert rows.loc["dog/2.jpg", "reasons"] == "blurry;too_dark"
    assert rows.loc["cat/2.png", "group"] == "g"
    assert rows.loc["dog/1.jpg", "label"] == "dog"


@pytest.mark.parametrize("order", [[4, 2, 0, 1, 3], [3, 1, 4, 0, 2]])
def test_the_summary_does_not_depend_on_the_order_of_rows(order: list[int]) -> None:
    assert repr(set_summary.summary(judged().iloc[order])) == repr(set_summary.summary(judged()))
