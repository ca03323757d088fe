"""Advice on image acquisition: each topic has advice exactly if its measure is past the limit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallmark.quality import acquisition

TOPICS = ["lighting", "framing", "resolution", "focus", "camera"]


def images(n: int = 40, **columns: Any) -> pd.DataFrame:
    """Alternating images of two classes, identical except for the given columns."""
    plain = {
        "label": ["cat", "dog"] * (n // 2),
        "brightness": 0.5,
        "width": 64,
        "height": 64,
        "sharpness": 0.4,
        "format": "JPEG",
    }
    return pd.DataFrame(plain | columns, index=range(n))


def topic(name: str, frame: pd.DataFrame) -> dict[str, Any]:
    entries = acquisition.advice(frame)
    assert [entry["topic"] for entry in entries] == TOPICS
    for entry in entries:
        assert entry["topic"] == name or entry["even"], entry
    return entries[TOPICS.index(name)]


def test_images_taken_alike_need_no_advice() -> None:
    entries = acquisition.advice(images())
    assert [entry["topic"] for entry in entries] == TOPICS
    assert all(entry["even"] for entry in entries)
    assert len({entry["words"] for entry in entries}) == len(TOPICS)
    assert entries[0]["measures"] == {"deviation": 0.0, "explained_by_class": 0.0}
    assert entries[1]["measures"] == {"ratio": 1.0}
    assert entries[2]["measures"] == {"ratio": 1.0, "median_side": 64.0}
    assert entries[3]["measures"] == {"ratio": 1.0}
    assert entries[4]["measures"] == {"explained_by_source": 0.0}


def test_no_image_is_no_advice() -> None:
    assert acquisition.advice(images(0)) == []


@pytest.mark.parametrize(("spread", "even"), [(0.119, True), (0.121, False)])
def test_light_is_uneven_past_its_deviation(spread: float, even: bool) -> None:
    # bright and dark in pairs, so that both classes have the same
    entry = topic("lighting", images(brightness=0.5 + spread * np.array([1, 1, -1, -1] * 10)))
    assert entry["even"] == even
    assert entry["measures"]["deviation"] == pytest.approx(spread)
    assert ("Brightness varies by 0.12" in entry["words"]) != even


def test_light_that_goes_with_the_class_names_the_darkest_and_the_brightest() -> None:
    entry = topic("lighting", images(brightness=[0.45, 0.55] * 20))
    assert not entry["even"]
    assert entry["measures"]["explained_by_class"] == 1.0
    assert "explains 100% of the brightness ('cat' is darkest, 'dog' brightest)" in entry["words"]
    assert "varies" not in entry["words"]


@pytest.mark.parametrize(("longest", "even"), [(83, True), (84, False)])
def test_framing_is_uneven_past_a_ratio_of_shapes(longest: int, even: bool) -> None:
    # the area stays nearly the same, so that the resolution is even
    entry = topic("framing", images(width=[64, 64, longest, longest] * 10))
    assert entry["even"] == even
    assert entry["measures"]["ratio"] == pytest.approx(longest / 64, abs=1e-4)
    assert ("1.3-fold" in entry["words"]) != even


@pytest.mark.parametrize(("side", "even"), [(128, True), (130, False)])
def test_resolution_is_uneven_past_a_ratio_of_sides(side: int, even: bool) -> None:
    sides = [64, 64, side, side] * 10
    entry = topic("resolution", images(width=sides, height=sides))
    assert entry["even"] == even
    assert entry["measures"]["ratio"] == pytest.approx(side / 64, abs=1e-4)
    assert entry["measures"]["median_side"] == pytest.approx((64 + side) / 2)


@pytest.mark.parametrize(("sharpest", "even"), [(2.9, True), (3.1, False)])
def test_focus_is_uneven_past_a_ratio_of_sharpness(sharpest: float, even: bool) -> None:
    entry = topic("focus", images(sharpness=[0.1, 0.1, sharpest, sharpest] * 10))
    assert entry["even"] == even
    assert entry["measures"]["ratio"] == pytest.approx(sharpest / 0.1, rel=1e-3)


def test_an_image_without_any_sharpness_is_no_division_by_nothing() -> None:
    entry = topic("focus", images(sharpness=[0.0, 0.0, 0.1, 0.1] * 10))
    assert entry["measures"]["ratio"] == pytest.approx(1e5)


def test_a_few_odd_images_are_no_variance() -> None:
    odd = np.r_[[6400], np.full(38, 64), [1]]
    assert all(entry["even"] for entry in acquisition.advice(images(width=odd, height=odd)))


@pytest.mark.parametrize("columns", [{"format": ["PNG", "JPEG"] * 20}, {"width": [64, 65] * 20}])
def test_a_camera_per_class_is_seen_by_format_or_size(columns: dict[str, Any]) -> None:
    entry = topic("camera", images(**columns))
    assert not entry["even"]
    assert entry["measures"]["explained_by_source"] == 1.0
    assert "100%" in entry["words"]


def series(values: list[Any]) -> pd.Series:
    return pd.Series(values)


def test_the_share_of_variance_between_classes() -> None:
    labels = series(["a", "a", "b", "b"])
    assert acquisition.explained(series([1.0, 1.0, 3.0, 3.0]), labels) == pytest.approx(1)
    assert acquisition.explained(series([1.0, 3.0, 1.0, 3.0]), labels) == pytest.approx(0)
    # means 1 and 4 about 2.5: 2.25 of a variance of 3.25
    assert acquisition.explained(series([0.0, 2.0, 3.0, 5.0]), labels) == pytest.approx(2.25 / 3.25)
    assert acquisition.explained(series([2.0] * 4), labels) == 0


def test_the_share_of_entropy_that_a_source_removes() -> None:
    labels = series(["a", "a", "b", "b"])
    assert acquisition.explained_by_source(labels, series(["x", "x", "y", "y"])) == pytest.approx(1)
    assert acquisition.explained_by_source(labels, series(["x", "y", "x", "y"])) == pytest.approx(0)
    assert acquisition.explained_by_source(series(["a"] * 4), series(["x", "x", "y", "y"])) == 0
    # of 3 a and 3 b, one source has 2 a and 1 b, the other the rest: 1 - H(1/3)
    mixed = acquisition.explained_by_source(series(list("aababb")), series(list("xxxyyy")))
    assert mixed == pytest.approx(1 + (np.log2(1 / 3) + 2 * np.log2(2 / 3)) / 3)


def test_sources_of_one_image_explain_nothing() -> None:
    assert acquisition.explained_by_source(series(list("abab")), series(list("wxyz"))) == pytest.approx(0)
    # two images are a source of their own
    assert acquisition.explained_by_source(series(list("aabb")), series(list("xxyz"))) == pytest.approx(1)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.floats(-1e3, 1e3)), min_size=2))
def test_shares_lie_between_nothing_and_all(rows: list[tuple[str, str, float]]) -> None:
    labels, sources, values = (series(list(column)) for column in zip(*rows, strict=True))
    assert 0 <= acquisition.explained_by_source(labels, sources) <= 1 + 1e-9
    assert -1e-9 <= acquisition.explained(values, labels) <= 1 + 1e-6
