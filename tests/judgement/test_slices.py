"""Slices: which parts of a test set get their own figure, and that figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hallmark.judgement import slices
from hallmark.judgement.assessment import accuracy
from hallmark.judgement.judged import Judged

if TYPE_CHECKING:
    from collections.abc import Sequence


def images(n: int, **columns: Any) -> pd.DataFrame:
    """A test set of identical images; ``columns`` override the defaults."""
    plain = {"brightness": 0.5, "width": 32, "height": 32, "group": "", "fate": "kept"}
    return pd.DataFrame({name: columns.get(name, value) for name, value in (plain | columns).items()}, index=range(n))


def parts(name: str, frame: pd.DataFrame, most: int = 5) -> list[str | None]:
    series = slices.divide(frame, most=most)[name]
    assert series.dtype == "string"
    return [None if pd.isna(value) else str(value) for value in series]


def thirds(values: Sequence[float | None]) -> dict[str, list[str | None]]:
    frame = images(len(values), brightness=np.array(values, dtype=np.float64))
    return {name: parts(name, frame) for name in slices.divide(frame, most=5)}


def test_images_all_alike_have_no_parts() -> None:
    assert slices.divide(images(9), most=5) == {}


def test_flagged_images_are_a_part() -> None:
    frame = images(4, fate=["kept", "flagged", "relabelled", "flagged"])
    assert parts("flagged", frame) == ["not flagged", "flagged", "not flagged", "flagged"]


def test_numbers_are_cut_at_the_terciles() -> None:
    low, middle, high = slices.THIRDS
    assert thirds([0.9, 0.1, 0.5, 0.2, 0.6, 0.8]) == {"brightness": [high, low, middle, low, middle, high]}


def test_a_value_at_a_tercile_belongs_to_the_part_below() -> None:
    low, middle, high = slices.THIRDS
    # terciles of seven values are the third and the fifth
    assert thirds([1, 2, 3, 4, 5, 6, 7])["brightness"] == [low, low, low, middle, middle, high, high]


def test_the_size_is_the_area() -> None:
    low, middle, high = slices.THIRDS
    frame = images(3, width=[10, 40, 20], height=[30, 5, 20])
    assert parts("size", frame) == [middle, low, high]


def test_unknown_brightness_is_no_part() -> None:
    low, middle, high = slices.THIRDS
    assert thirds([0.1, None, 0.5, 0.9, None])["brightness"] == [low, None, middle, high, None]
    assert thirds([None, None, None]) == {}


@pytest.mark.parametrize(("brightest", "cut"), [(2, True), (1, False)])
def test_thirds_of_less_than_a_tenth_of_the_images_are_not_cut(brightest: int, cut: bool) -> None:
    values = [0.1] * 8 + [0.5] * (12 - brightest) + [0.9] * brightest
    assert ("brightness" in thirds(values)) == cut


def test_groups_are_parts_and_no_group_is_unknown() -> None:
    assert parts("group", images(4, group=["a", "", "b", "a"])) == ["a", None, "b", "a"]
    assert slices.divide(images(4, group=["a", "", "a", "a"]), most=5) == {}


def test_more_parts_than_allowed_are_left_out() -> None:
    frame = images(6, group=list("abcdef"))
    assert "group" in slices.divide(frame, most=6)
    assert "group" not in slices.divide(frame, most=5)


def test_metadata_of_many_numbers_is_cut_and_of_few_is_not() -> None:
    low, middle, high = slices.THIRDS
    frame = images(6, meta_year=[1, 2, 3, 4, 5, 6], meta_lens=[1, 2, 1, 2, 1, 2], meta_site=list("ababab"))
    assert parts("year", frame) == [low, low, middle, middle, high, high]
    assert parts("year", frame, most=6) == list("123456")
    assert parts("lens", frame) == list("121212")
    assert parts("site", frame) == list("ababab")


def test_metadata_of_truth_values_is_not_cut() -> None:
    frame = images(4, meta_indoors=[True, False, True, True])
    assert parts("indoors", frame) == ["True", "False", "True", "True"]


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1) | st.none(), min_size=1, max_size=60))
def test_thirds_follow_the_values_and_have_images_each(values: list[float | None]) -> None:
    for series in thirds(values).values():
        rank = [slices.THIRDS.index(part) for part in series if part is not None]
        known = [value for value in values if value is not None]
        assert len(rank) == len(known)
        assert min(np.bincount(rank, minlength=3)) >= slices.LEAST_THIRD * len(known)
        ordered = sorted(zip(known, rank, strict=True))
        assert [third for _, third in ordered] == sorted(rank), "a brighter image is in a darker third"


def test_each_part_has_the_accuracy_of_its_images() -> None:
    generator = np.random.default_rng(0)
    label = generator.integers(0, 2, 40)
    judged = Judged(label, np.eye(2)[generator.integers(0, 2, 40)], np.arange(40) // 2, ("a", "b"))
    part = pd.Series(["in"] * 25 + ["out"] * 10 + [None] * 5, dtype="string")
    figures = slices.judge(judged, {"door": part}, replicates=50, seed=3)
    assert list(figures) == ["door"]
    assert list(figures["door"]) == ["in", "out"]
    for name, rows in {"in": slice(0, 25), "out": slice(25, 35)}.items():
        of_part = Judged(label[rows], judged.probabilities[rows], judged.clusters[rows], ("a", "b"))
        assert figures["door"][name] == {"n": len(of_part.labels), "accuracy": accuracy(of_part, replicates=50, seed=3)}
