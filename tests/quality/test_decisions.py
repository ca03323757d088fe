"""One fate per image: reviews before detectors, one survivor of copies, removals in train only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from hallmark.contracts.errors import InputError
from hallmark.quality import decisions
from hallmark.quality.decisions import within_share

LABEL = pd.Series(["a"] * 10 + ["b"] * 4, dtype="string")


def test_the_surest_are_chosen_up_to_the_share_of_each_class() -> None:
    score = np.arange(14, dtype=float)
    chosen = within_share(np.ones(14, bool), score, LABEL, np.ones(14, bool), 0.25)
    assert np.flatnonzero(chosen).tolist() == [8, 9, 13]


def test_no_candidates_are_no_choice() -> None:
    chosen = within_share(np.zeros(14, bool), np.zeros(14), LABEL, np.ones(14, bool), 0.25)
    assert not chosen.any()


def table(**columns: Any) -> pd.DataFrame:
    """Copies of one image in train, the first being the representative; the given columns override this."""
    n = max(len(values) for values in columns.values())
    plain: dict[str, Any] = {
        "path": [f"{row}.png" for row in range(n)],
        "split": ["train"] * n,
        "label": ["a"] * n,
        "cluster": ["c"] * n,
        "representative": [row == 0 for row in range(n)],
        "decided": [False] * n,
        "reasons": ["near_duplicate"] * n,
        "fate": ["flagged"] * n,
    }
    return pd.DataFrame(plain | columns)


def fates(frame: pd.DataFrame) -> list[str]:
    return [str(fate) for fate in frame["fate"]]


def test_copies_go_and_their_representative_stays() -> None:
    frame = table(reasons=["", "near_duplicate", "exact_duplicate"], fate=["kept", "flagged", "flagged"])
    assert decisions.remove_copies(frame).tolist() == [False, True, True]
    assert fates(frame) == ["kept", "removed", "removed"]


def test_of_copies_without_their_representative_the_first_path_inherits() -> None:
    frame = table(
        path=["9.png", "3.png", "2.png", "4.png"],
        reasons=["excluded_by_review", "near_duplicate", "near_duplicate;blurry", "near_duplicate"],
        fate=["removed", "flagged", "flagged", "flagged"],
        decided=[True, False, False, False],
    )
    assert decisions.remove_copies(frame).tolist() == [False, True, False, True]
    assert fates(frame) == ["removed", "removed", "flagged", "removed"]
    assert frame["reasons"][2] == "blurry", "the heir is no copy any more; its other reasons stay"
    alone = table(reasons=["", "exact_duplicate"], fate=["removed", "flagged"])
    decisions.remove_copies(alone)
    assert (fates(alone)[1], alone["reasons"][1]) == ("kept", "")


def test_a_copy_that_a_person_kept_is_the_survivor() -> None:
    frame = table(
        reasons=["excluded_by_review", "near_duplicate", ""],
        fate=["removed", "flagged", "kept"],
        decided=[True, False, True],
    )
    assert decisions.remove_copies(frame).tolist() == [False, True, False]


def test_a_copy_that_a_person_dropped_is_no_survivor() -> None:
    frame = table(
        reasons=["excluded_by_review", "near_duplicate", "excluded_by_review"],
        fate=["removed", "flagged", "removed"],
        decided=[True, False, True],
    )
    assert not decisions.remove_copies(frame).any()
    assert fates(frame) == ["removed", "kept", "removed"]


def test_each_cluster_has_a_survivor_of_its_own() -> None:
    frame = table(
        cluster=["c", "c", "d", "d"],
        representative=[True, False, True, False],
        reasons=["", "near_duplicate", "excluded_by_review", "near_duplicate"],
        fate=["kept", "flagged", "removed", "flagged"],
    )
    decisions.remove_copies(frame)
    assert fates(frame) == ["kept", "removed", "removed", "kept"]


def test_copies_in_val_and_test_and_conflicting_ones_are_not_removed_as_copies() -> None:
    frame = table(
        split=["train", "val", "test", "train"],
        reasons=["", "near_duplicate", "near_duplicate", "near_duplicate;conflicting_duplicate"],
    )
    assert not decisions.remove_copies(frame).any()


CONFLICT = ["conflicting_duplicate"] * 3


def settle(
    frame: pd.DataFrame, probabilities: list[list[float]] | None, label: tuple[int, ...] = (0, 1, 1)
) -> list[str]:
    removed = decisions.settle_conflicts(
        frame, np.array(label), None if probabilities is None else np.array(probabilities)
    )
    assert removed.tolist() == [fate == "removed" for fate in fates(frame)]
    return fates(frame)


def test_the_image_whose_label_the_classifier_gives_survives_a_conflict() -> None:
    assert settle(table(reasons=CONFLICT), [[0.9, 0.1]] * 3) == ["flagged", "removed", "removed"]


def test_of_two_with_the_right_label_the_representative_or_else_the_first_path_survives() -> None:
    right = [[0.1, 0.9]] * 3
    last = table(reasons=CONFLICT, representative=[False, False, True])
    assert settle(last, right) == ["removed", "removed", "flagged"]
    paths = table(reasons=CONFLICT, path=["1.png", "9.png", "5.png"])
    assert settle(paths, right) == ["removed", "removed", "flagged"]


def test_a_conflict_that_nothing_settles_removes_all() -> None:
    assert settle(table(reasons=CONFLICT), None) == ["removed"] * 3
    assert settle(table(reasons=CONFLICT), [[0, 0, 1.0]] * 3) == ["removed"] * 3


def test_a_member_that_a_person_kept_settles_a_conflict() -> None:
    frame = table(reasons=CONFLICT, decided=[False, False, True], fate=["flagged", "flagged", "kept"])
    removed = decisions.settle_conflicts(frame, np.array([0, 1, 1]), np.array([[0.9, 0.1]] * 3))
    assert removed.tolist() == [True, True, False]
    dropped = table(reasons=CONFLICT, decided=[False, False, True], fate=["flagged", "flagged", "removed"])
    removed = decisions.settle_conflicts(dropped, np.array([0, 1, 1]), np.array([[0.9, 0.1]] * 3))
    assert removed.tolist() == [False, True, False], "a member that a person dropped settles nothing"


def test_beside_a_held_out_member_no_copy_stays_in_train() -> None:
    frame = table(reasons=CONFLICT, split=["train", "train", "test"])
    assert settle(frame, [[0.9, 0.1]] * 3) == ["removed", "removed", "flagged"]


def test_each_conflict_keeps_one() -> None:
    frame = table(
        reasons=["conflicting_duplicate"] * 4,
        cluster=["c", "c", "d", "d"],
        representative=[True, False, True, False],
    )
    assert settle(frame, [[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.2, 0.8]], (0, 1, 0, 1)) == [
        "flagged",
        "removed",
        "removed",
        "flagged",
    ]


def act(action: str, **columns: Any) -> pd.DataFrame:
    """A table after a detector flagged all but its last image; the second is not removable."""
    plain: dict[str, Any] = {
        "reasons": ["", "", "", "", ""],
        "fate": ["kept", "kept", "kept", "kept", "kept"],
        "split": ["train", "train", "val", "train", "train"],
        "suggested_label": ["b"] * 5,
        "weight": [1.0] * 5,
    }
    frame = table(**(plain | columns))
    rows = np.array([True, True, True, True, False])
    decisions.act(
        frame, rows, "outlier", removable=np.array([True, False, True, True, True]), action=action, weight=0.3
    )
    return frame


@pytest.mark.parametrize(
    ("action", "fate"),
    [("remove", "removed"), ("relabel", "relabelled"), ("downweight", "flagged"), ("flag", "flagged")],
)
def test_an_action_holds_for_removable_training_images_and_is_a_flag_for_others(action: str, fate: str) -> None:
    frame = act(action)
    assert fates(frame) == [fate, "flagged", "flagged", fate, "kept"]
    assert frame["reasons"].tolist() == ["outlier"] * 4 + [""]
    assert frame["label"].tolist() == (list("baaba") if action == "relabel" else list("aaaaa"))
    assert frame["weight"].tolist() == ([0.3, 1, 1, 0.3, 1] if action == "downweight" else [1.0] * 5)


def test_an_action_leaves_what_a_person_decided_and_what_is_removed() -> None:
    frame = act("remove", decided=[True, False, False, False, False], fate=["kept", "kept", "kept", "removed", "kept"])
    assert fates(frame) == ["kept", "flagged", "flagged", "removed", "kept"]
    assert frame["reasons"].tolist() == ["", "outlier", "outlier", "", ""]


def test_equal_scores_are_chosen_in_the_order_of_the_images_and_the_pool_bounds_them() -> None:
    candidates = np.ones(14, bool)
    pool = np.arange(14) != 13
    assert np.flatnonzero(within_share(candidates, np.zeros(14), LABEL, pool, 0.5)).tolist() == [0, 1, 2, 3, 4, 10]
    some = np.arange(14) % 2 == 1
    assert np.flatnonzero(within_share(some, np.zeros(14), LABEL, pool, 0.2)).tolist() == [1, 3]


@pytest.mark.parametrize(
    ("fate", "reasons", "stage"),
    [
        ("kept", "", ""),
        ("removed", "blurry", "clean"),
        ("relabelled", "", "clean"),
        ("flagged", "outlier", "clean"),
        ("flagged", "outlier;near_duplicate", "split"),
        ("flagged", "label_issue;split_leak", "split"),
        ("flagged", "near_duplicate;blurry", "validate"),
    ],
)
def test_the_stage_is_the_one_that_decided_first(fate: str, reasons: str, stage: str) -> None:
    frame = table(fate=[fate], reasons=[reasons])
    decisions.name_stages(frame)
    assert frame["stage"].tolist() == [stage]


def begin(review: list[tuple[str, str, str | None]]) -> pd.DataFrame:
    split = pd.DataFrame(
        {"path": ["1", "2", "3"], "split": "train", "label": ["a", "b", "b"], "reasons": ["", "near_duplicate", ""]}
    )
    measurements = pd.DataFrame({"path": ["3", "1", "2"], "reasons": ["", "", "blurry"]})
    return decisions.start(split, measurements, pd.DataFrame(review, columns=["path", "decision", "label"]))


def test_decisions_start_from_what_validate_and_split_said() -> None:
    frame = begin([])
    assert frame["reasons"].tolist() == ["", "blurry;near_duplicate", ""]
    assert fates(frame) == ["kept", "flagged", "kept"]
    assert frame["found_label"].tolist() == frame["label"].tolist() == ["a", "b", "b"]
    assert frame["weight"].tolist() == [1.0] * 3
    assert not frame["decided"].any()
    assert frame[["outlier_score", "label_quality", "suggested_label"]].isna().all(axis=None)


def test_a_review_overrides_what_the_stages_said() -> None:
    frame = begin([("2", "keep", None), ("1", "drop", None), ("3", "relabel", "a"), ("gone", "drop", None)])
    assert fates(frame) == ["removed", "kept", "relabelled"]
    assert frame["reasons"].tolist() == ["excluded_by_review", "", "relabelled_by_review"]
    assert frame["label"].tolist() == ["a", "b", "a"]
    assert frame["found_label"].tolist() == ["a", "b", "b"]
    assert frame["decided"].all()


def test_a_review_may_not_name_a_class_that_no_image_has() -> None:
    with pytest.raises(
        InputError, match=r"relabels to classes that the usable images lack: 'z' \(1\), 'y' \(2\)"
    ) as error:
        begin([("1", "relabel", "z"), ("2", "relabel", "y"), ("3", "relabel", "a")])
    assert "use one of: a, b" in str(error.value)


def test_open_images_are_training_images_that_nobody_decided_about_and_nothing_removed() -> None:
    frame = table(
        split=["train", "val", "train", "train"],
        decided=[False, False, True, False],
        fate=["kept", "kept", "kept", "removed"],
    )
    assert decisions.open_in_train(frame).tolist() == [True, False, False, False]
