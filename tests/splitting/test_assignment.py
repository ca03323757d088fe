from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hallmark.splitting.assignment import TEST, TRAIN, VAL, assign, tolerance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]
    Floats = NDArray[np.float64]

SHARES = np.array([0.7, 0.2, 0.1])


def split(unit: Integers, label: Integers, position: Floats, *, cover: bool = False) -> Integers:
    return assign(unit, label, position, val=0.2, test=0.1, cover=cover)


def balanced(classes: int, size: int, seed: int) -> tuple[Integers, Integers, Floats]:
    n = classes * size
    return np.arange(n), np.arange(n) % classes, np.random.default_rng(seed).random(n)


@given(
    seed=st.integers(0, 10**6),
    classes=st.integers(1, 5),
    sizes=st.lists(st.integers(1, 200), min_size=2, max_size=6),
    biggest=st.integers(1, 40),
)
@settings(max_examples=150)
def test_nothing_moves_from_test_into_train_over_any_growth(
    seed: int, classes: int, sizes: list[int], biggest: int
) -> None:
    # units of 1 to `biggest` images, of one or several classes, tiny classes and giant groups among them
    random = np.random.default_rng(seed)
    total = sum(sizes)
    position = random.random(total)
    weight = random.integers(1, biggest + 1, total) ** random.integers(0, 2, total)
    unit = np.repeat(np.arange(total), weight)
    label = np.where(random.random(len(unit)) < 0.2, random.integers(0, classes, len(unit)), unit % classes)
    ever_test = np.zeros(total, bool)
    for units in np.cumsum(sizes):
        seen = unit < units
        now = split(unit[seen], label[seen], position[:units])
        assert not (ever_test[:units] & (now == TRAIN)).any()
        ever_test[:units] |= now == TEST


@pytest.mark.parametrize(("classes", "size"), [(1, 1000), (2, 1000), (10, 1000), (3, 5000)])
@pytest.mark.parametrize("seed", range(5))
def test_shares_of_large_classes_are_within_one_point(classes: int, size: int, seed: int) -> None:
    unit, label, position = balanced(classes, size, seed)
    now = split(unit, label, position)
    table = np.array([np.bincount(now[label == number], minlength=3) for number in range(classes)])
    assert np.abs(table / table.sum(axis=1, keepdims=True) - SHARES).max() <= 0.01 + 1e-9
    assert np.abs(table / table.sum(axis=0) - 1 / classes).max() <= 0.01 + 1e-9


def test_units_of_several_classes_still_give_shares_within_one_point() -> None:
    random = np.random.default_rng(0)
    unit = np.repeat(np.arange(2000), 5)
    label = random.integers(0, 5, len(unit))
    now = split(unit, label, random.random(2000))[unit]
    for number in range(5):
        shares = np.bincount(now[label == number], minlength=3) / (label == number).sum()
        assert np.abs(shares - SHARES).max() <= 0.01 + 1e-9


@pytest.mark.parametrize(("size", "least"), [(1000, 0.985), (2000, 0.99), (5000, 0.99)])
def test_growth_by_a_tenth_keeps_99_percent(size: int, least: float) -> None:
    kept = []
    for seed in range(8):
        unit, label, position = balanced(4, size, seed)
        grown, more, positions = balanced(4, size + size // 10, seed)
        positions[: len(unit)] = position
        before, after = split(unit, label, position), split(grown, more, positions)[: len(unit)]
        kept += [float((before == after)[label == number].mean()) for number in range(4)]
    assert min(kept) >= least
    assert np.mean(kept) >= 0.995


@given(seed=st.integers(0, 10**6), size=st.integers(3, 60))
@settings(max_examples=100)
def test_small_classes_get_test_and_val_where_the_wall_allows(seed: int, size: int) -> None:
    unit, label, position = balanced(1, size, seed)
    now = split(unit, label, position)
    assert (now == VAL).any()
    assert (now == TEST).any() == (position < 0.26).any()


@given(seed=st.integers(0, 10**6), classes=st.integers(1, 4), size=st.integers(3, 30))
@settings(max_examples=100)
def test_cover_gives_every_class_all_splits(seed: int, classes: int, size: int) -> None:
    unit, label, position = balanced(classes, size, seed)
    now = split(unit, label, position, cover=True)
    for number in range(classes):
        assert set(now[label == number]) == {TRAIN, VAL, TEST}


def test_the_order_of_images_does_not_matter() -> None:
    unit, label, position = balanced(3, 200, 1)
    shuffled = np.random.default_rng(2).permutation(len(unit))
    assert (split(unit, label, position) == split(unit[shuffled], label[shuffled], position)).all()


def test_a_share_of_nothing_gives_nothing() -> None:
    unit, label, position = balanced(2, 300, 0)
    assert set(assign(unit, label, position, val=0.0, test=0.2)) == {TRAIN, TEST}
    assert set(assign(unit, label, position, val=0.2, test=0.0)) == {TRAIN, VAL}


def test_a_giant_unit_does_not_take_a_class_s_whole_test_share() -> None:
    # 500 of 1 000 images in one unit that is nominally test: the test share stays near a tenth without it
    position = np.r_[0.05, np.random.default_rng(0).random(500)]
    unit = np.r_[np.zeros(500, np.int64), np.arange(1, 501)]
    now = split(unit, np.zeros(1000, np.int64), position)
    assert now[0] == VAL
    assert np.bincount(now[unit])[TEST] == pytest.approx(100, abs=15)


def test_tolerance_is_tight_for_large_classes_and_wide_for_small() -> None:
    off = tolerance(0.1, np.array([5000.0, 5000.0, 100.0]))
    assert off[0] <= 0.01 + 1e-9
    assert off[2] > 0.04
