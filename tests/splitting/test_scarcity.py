from __future__ import annotations

import pandas as pd
import pytest

from hallmark.contracts.errors import GateRefused
from hallmark.splitting.scarcity import refuse_too_few, warnings

SHARES = {"train": 0.7, "val": 0.2, "test": 0.1}


def images(units: list[tuple[int, str, str]], *, named: bool = True) -> pd.DataFrame:
    """One image per (unit, label, split)."""
    frame = pd.DataFrame(units, columns=["unit", "label", "split"])
    frame["group"] = frame["unit"].map("g{}".format) if named else None
    return frame


def test_fewer_groups_than_splits_are_refused_with_the_number_missing() -> None:
    two = images([(0, "a", ""), (1, "b", ""), (0, "b", ""), (1, "a", "")])
    with pytest.raises(GateRefused, match=r"2 groups .* too few for 3 splits.*at least 1 more"):
        refuse_too_few(two, splits=3)
    refuse_too_few(two, splits=2)
    refuse_too_few(two[:1], splits=1)


def test_groups_that_are_the_classes_are_refused() -> None:
    confounded = images([(0, "a", ""), (1, "b", ""), (2, "b", ""), (3, "c", "")])
    with pytest.raises(GateRefused, match=r"'a' 1, 'b' 2, 'c' 1\).*at least 3 groups"):
        refuse_too_few(confounded, splits=3)
    refuse_too_few(pd.concat([confounded, images([(1, "a", "")])]), splits=3)


def test_images_without_groups_and_single_classes_are_not_judged() -> None:
    refuse_too_few(images([(0, "a", ""), (1, "b", "")], named=False), splits=3)
    refuse_too_few(images([(0, "a", ""), (1, "a", ""), (2, "a", "")]), splits=3)
    assert warnings(images([(0, "a", "train"), (1, "b", "test")], named=False), shares=SHARES) == []


def test_classes_in_too_few_groups_are_named() -> None:
    few = images([(n, "a", "test" if n < 6 else "train") for n in range(9)] + [(0, "b", "test"), (7, "b", "train")])
    (warning,) = warnings(few, shares=SHARES)
    assert "'b' (2) in each split: a class needs 3 groups" in warning


def test_of_many_classes_in_too_few_groups_eight_are_named_and_the_rest_counted() -> None:
    few = images(
        [(n, "z", "test" if n < 6 else "train") for n in range(9)] + [(n, f"c{n}", "train") for n in range(6, 8)]
        + [(n % 9, f"d{n}", "train") for n in range(9)]
    )  # fmt: skip
    (warning,) = warnings(few, shares=SHARES)
    assert "'d5' (1) and 3 more in each split" in warning


def test_a_test_set_of_few_groups_says_how_many_are_needed() -> None:
    few = images([(n, "a", "test" if n < 2 else "val" if n < 4 else "train") for n in range(10)])
    (warning,) = warnings(few, shares=SHARES)
    assert "holds 2 of 10 groups (20% of the images)" in warning
    assert "About 50 groups would put 5 into test; hallmark crossval holds out each group of the other" in warning
    enough = images([(n, "a", "test" if n < 5 else "val" if n < 15 else "train") for n in range(50)])
    assert warnings(enough, shares=SHARES) == []
