from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hallmark.splitting import exact
from hallmark.splitting.assignment import TEST, TRAIN, VAL
from hallmark.splitting.exact import assign

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]
    Floats = NDArray[np.float64]

SHARES = np.array([0.7, 0.2, 0.1])


def split(unit: Integers, label: Integers, position: Floats) -> Integers:
    return assign(unit, label, position, val=0.2, test=0.1)


def singles(sizes: list[int], seed: int = 0) -> tuple[Integers, Integers, Floats]:
    label = np.repeat(np.arange(len(sizes)), sizes)
    return np.arange(len(label)), label, np.random.default_rng(seed).random(len(label))


def grouped(groups: int, most: int, classes: int, seed: int) -> tuple[Integers, Integers, Floats]:
    """Groups of 1 to ``most`` images of any classes; class numbers may have gaps."""
    random = np.random.default_rng(seed)
    unit = np.repeat(np.arange(groups), random.integers(1, most + 1, groups))
    return unit, random.integers(0, classes, len(unit)), random.random(groups)


def table(now: Integers, unit: Integers, label: Integers) -> Integers:
    """Images, [classes, splits]."""
    return np.array([np.bincount(now[unit][label == number], minlength=3) for number in range(label.max() + 1)])


@given(
    sizes=st.lists(st.integers(1, 120), min_size=1, max_size=12),
    shares=st.sampled_from([(0.2, 0.1), (0.15, 0.15), (0.1, 0.3), (0.5, 0.25), (0.25, 0.0), (0.0, 0.1)]),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=150)
def test_single_images_are_split_within_one_image_of_each_share(
    sizes: list[int], shares: tuple[float, float], seed: int
) -> None:
    unit, label, position = singles(sizes, seed)
    val, test = shares
    counts = table(assign(unit, label, position, val=val, test=test), unit, label)
    wanted = np.array(sizes)[:, None] * np.array([1 - val - test, val, test])
    # a class of up to 1 / share images may owe an image to a split's guarantee
    certain = np.array(sizes) * min(share for share in (val, test, 1.0) if share > 0) >= 1
    assert (np.abs(counts - wanted)[certain] < 1).all()
    large = np.array(sizes) >= 3
    assert (counts[large][:, [share > 0 for share in (1 - val - test, val, test)]] > 0).all()
    assert (counts[:, TRAIN] > 0).all()
    assert (counts[:, [VAL, TEST]][:, [val <= 0, test <= 0]] == 0).all()


@given(classes=st.integers(1, 60), size=st.integers(10, 40), seed=st.integers(0, 1000))
@settings(max_examples=50)
def test_rounding_does_not_add_up_over_the_classes(classes: int, size: int, seed: int) -> None:
    # each class alone would round the same way: 25 classes of 16 would have 50 or 25 test images, not 40
    unit, label, position = singles([size] * classes, seed)
    counts = table(split(unit, label, position), unit, label).sum(axis=0)
    assert np.abs(counts - SHARES * classes * size).max() < 2


def test_the_smallest_classes() -> None:
    for size, expected in ((1, [1, 0, 0]), (3, [1, 1, 1]), (4, [2, 1, 1]), (5, [3, 1, 1]), (10, [7, 2, 1])):
        unit, label, position = singles([size])
        assert table(split(unit, label, position), unit, label).tolist() == [expected]


@given(groups=st.integers(1, 40), most=st.integers(1, 30), classes=st.integers(1, 5), seed=st.integers(0, 10**6))
@settings(max_examples=100)
def test_neither_the_order_of_images_nor_the_numbers_of_units_matter(
    groups: int, most: int, classes: int, seed: int
) -> None:
    unit, label, position = grouped(groups, most, classes, seed)
    now = split(unit, label, position)
    random = np.random.default_rng(seed)
    shuffled = random.permutation(len(unit))
    np.testing.assert_array_equal(split(unit[shuffled], label[shuffled], position), now)
    renamed = random.permutation(groups)
    moved = np.empty(groups)
    moved[renamed] = position
    np.testing.assert_array_equal(split(renamed[unit], label, moved)[renamed], now)


@given(groups=st.integers(3, 7), most=st.integers(2, 12), classes=st.integers(1, 3), seed=st.integers(0, 10**6))
@settings(max_examples=60)
def test_of_few_groups_no_other_assignment_is_better(groups: int, most: int, classes: int, seed: int) -> None:
    unit, label, position = grouped(groups, most, classes, seed)
    unit = np.r_[unit, np.arange(groups)]  # each unit has two images or more: the search covers all
    label = np.r_[label, np.arange(groups) % classes]
    units = np.array([len(np.unique(unit[label == number])) for number in range(label.max() + 1)])

    def judged(now: Integers) -> tuple[int, float]:
        counts = table(now, unit, label)
        lacking = int((np.minimum(units, 3) - (counts > 0).sum(axis=1)).sum() + (counts[:, TRAIN] == 0).sum())
        return lacking, round(float(np.abs(counts - counts.sum(axis=1, keepdims=True) * SHARES).max()), 9)

    best = min(judged(np.array(each)) for each in product(range(3), repeat=groups))
    assert judged(split(unit, label, position)) == best


@pytest.mark.parametrize("seed", range(6))
def test_the_search_finds_what_trying_everything_finds(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    unit, label, position = grouped(9, 20, 3, seed)
    counts = {}
    for limit in (9, 0):
        monkeypatch.setattr(exact, "EXHAUSTIVE", limit)
        counts[limit] = table(split(unit, label, position), unit, label)
    off = {limit: np.abs(each - each.sum(axis=1, keepdims=True) * SHARES).max() for limit, each in counts.items()}
    assert (counts[0] > 0).sum() == (counts[9] > 0).sum()
    assert off[0] <= off[9] + 1


@pytest.mark.parametrize("groups", [5, 8, 12, 20])
@pytest.mark.parametrize("seed", range(4))
def test_five_to_twenty_patients_give_each_class_a_test_set(groups: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    unit = np.repeat(np.arange(groups), random.integers(20, 60, groups))
    label = random.integers(0, 3, len(unit))
    counts = table(split(unit, label, random.random(groups)), unit, label)
    assert (counts > 0).all()
    shares = counts.sum(axis=0) / len(unit)
    # one patient is the least that a split can hold
    assert abs(shares[TEST] - 0.1) < max(0.05, 1.5 / groups)
    assert shares[TRAIN] >= 0.5


@pytest.mark.parametrize(("groups", "size"), [(60, 20), (200, 9), (900, 2)])
def test_many_groups_come_within_two_percent(groups: int, size: int) -> None:
    random = np.random.default_rng(groups)
    unit = np.repeat(np.arange(groups), size)
    label = random.integers(0, 4, len(unit))
    counts = table(split(unit, label, random.random(groups)), unit, label)
    assert np.abs(counts / counts.sum(axis=1, keepdims=True) - SHARES).max() < 0.02


def test_single_images_fill_what_groups_leave() -> None:
    # ten groups of seven and 130 images: the shares are met exactly
    unit = np.r_[np.repeat(np.arange(10), 7), np.arange(10, 140)]
    now = split(unit, np.zeros(200, np.int64), np.random.default_rng(0).random(140))
    assert np.bincount(now[unit]).tolist() == [140, 40, 20]


def test_the_seed_decides_which_images_are_test() -> None:
    unit, label, _ = singles([50, 50])
    first, second = (split(unit, label, np.random.default_rng(seed).random(100)) for seed in (1, 2))
    assert (first != second).any()
    position = np.random.default_rng(1).random(100)
    assert position[:50][first[:50] == TEST].max() < position[:50][first[:50] != TEST].min()


def test_units_without_images_are_train() -> None:
    nothing = np.zeros(0, np.int64)
    assert split(nothing, nothing, np.array([0.05, 0.5])).tolist() == [TRAIN, TRAIN]
    now = split(np.array([0, 2, 3, 4]), np.zeros(4, np.int64), np.array([0.5, 0.0, 0.6, 0.7, 0.8]))
    assert now[1] == TRAIN
