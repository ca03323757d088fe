"""The gate of a whole set: each refusal at its bound, with its remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from hallmark.quality import set_gate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hallmark.quality.set_gate import SetGate


def judge(
    labels: Sequence[str | None],
    *,
    quarantined: list[int] | None = None,
    reasons: dict[int, str] | None = None,
    folders: dict[int, str] | None = None,
    **changes: Any,
) -> SetGate:
    """The gate of a set with these labels; ``quarantined``, ``reasons`` and ``folders`` are by row."""
    n = len(labels)
    options: dict[str, Any] = {
        "max_quarantine_share": 0.2,
        "min_images_per_class": 2,
        "quarantine_small": False,
        "refusals": [],
    }
    return set_gate.judge(
        pd.Series(labels, dtype="string"),
        pd.Series([(reasons or {}).get(row, "") for row in range(n)], dtype="string"),
        pd.Series([(folders or {}).get(row, pd.NA) for row in range(n)], dtype="string"),
        np.isin(np.arange(n), quarantined or []),
        **(options | changes),
    )


SOUND = ["a"] * 5 + ["b"] * 5


def test_a_sound_set_passes() -> None:
    gate = judge(SOUND)
    assert gate.refused == []
    assert gate.remedies == ()
    assert gate.share == 0
    assert gate.small_classes == {}
    assert not gate.too_small.any()
    assert gate.too_small.shape == (10,)


def test_the_share_of_quarantined_files_may_reach_the_bound_and_not_pass_it() -> None:
    at_bound = judge(SOUND, quarantined=[0, 5])
    assert at_bound.share == pytest.approx(0.2)
    assert at_bound.refused == []
    past = judge(SOUND, quarantined=[0, 5, 6])
    assert past.share == pytest.approx(0.3)
    assert past.refused == [
        "3 of 10 files (30.0%) are quarantined, more than validate.max_quarantine_share (20.0%)",
    ]
    assert past.remedies == ("repair the files named in the ledger, or raise validate.max_quarantine_share",)


def test_a_set_without_a_usable_image_is_refused_for_that_alone() -> None:
    for gate in (judge(["a", "b"], quarantined=[0, 1]), judge([])):
        (line,) = gate.refused
        assert line.startswith("none of ")
        assert line.endswith(" files is a usable image")
        assert gate.share == 1.0
        assert gate.remedies == ("check that ingest.source is the folder of the images",)


def test_stray_files_count_neither_as_files_nor_as_quarantined() -> None:
    labels = [*SOUND, None, None, "c"]
    gate = judge(labels, quarantined=[0, 10, 11, 12], reasons={10: "stray_file", 11: "stray_file", 12: "stray_file"})
    assert gate.share == pytest.approx(0.1)
    assert gate.small_classes == {}


def test_an_unlabelled_split_folder_is_a_competition_s_test_set_and_no_fault() -> None:
    labels = [*SOUND, None, None, None]
    unlabelled = dict.fromkeys([10, 11, 12], "unlabelled")
    rows = [10, 11, 12]
    apart = judge(labels, quarantined=rows, reasons=unlabelled, folders=dict.fromkeys(rows, "test:test"))
    assert apart.share == 0
    beside_labelled = judge(
        labels, quarantined=rows, reasons=unlabelled, folders=dict.fromkeys([9, *rows], "train:train")
    )
    assert beside_labelled.share == pytest.approx(3 / 13)
    no_split = judge(labels, quarantined=rows, reasons=unlabelled)
    assert no_split.share == pytest.approx(3 / 13)


def test_a_small_class_refuses_the_set() -> None:
    gate = judge([*SOUND, "c", "d", "d"], quarantined=[12])
    assert gate.small_classes == {"c": 1, "d": 1}
    assert not gate.too_small.any()
    assert gate.refused == ["classes below validate.min_images_per_class (2): 'c' 1, 'd' 1"]
    assert gate.remedies == ("add images, lower the bound, or set validate.on_small_class to quarantine",)


def test_a_small_class_is_quarantined_where_the_params_say_so() -> None:
    gate = judge([*SOUND, "c", "d", "d"], quarantined=[12], quarantine_small=True)
    assert np.flatnonzero(gate.too_small).tolist() == [10, 11], "what is quarantined already has its own reasons"
    assert gate.refused == []
    assert gate.share == pytest.approx(1 / 13), "a small class counts as quarantined"


def test_a_class_of_which_nothing_is_usable_is_small() -> None:
    assert judge([*SOUND, "c", "c"], quarantined=[10, 11]).small_classes == {"c": 0}


def test_a_classifier_needs_two_classes() -> None:
    (line,) = judge(["a"] * 5).refused
    assert line.startswith("1 of 1 classes have 2 usable images or more (validate.min_images_per_class)")
    gate = judge([*["a"] * 5, "b"], quarantine_small=True)
    (line,) = gate.refused
    assert line.startswith("1 of 2 classes")
    (remedy,) = gate.remedies
    assert remedy.startswith("put each class into its own folder")


def test_every_fault_is_reported_at_once_after_the_suites() -> None:
    gate = judge(
        ["a", "a", "b", "b"],
        quarantined=[1, 2, 3],
        refusals=["the suite of labels failed", "the suite of sizes failed"],
    )
    assert gate.refused[:2] == ["the suite of labels failed", "the suite of sizes failed"]
    assert [line.split(" ")[0] for line in gate.refused[2:]] == ["3", "classes", "0"]
    assert len(gate.remedies) == 4
    assert gate.remedies[0].startswith("correct the set")


def test_the_folder_of_a_split_is_its_path_without_the_name() -> None:
    paths = pd.Series(["a/b/1.png", "2.png", "c/3.png"], dtype="string")
    splits = pd.Series(["val", "test", pd.NA], dtype="string")
    folders = set_gate.split_folders(paths, splits)
    assert folders[:2].tolist() == ["val:a/b", "test:"]
    assert folders.isna().tolist() == [False, False, True]
    assert folders.dtype == "string"
