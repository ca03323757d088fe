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
        current = unit < units
        now = split(unit[current], label[current], position[:units])
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
    shares = []
    for seed in range(8):
        unit, label, position = balanced(4, size, seed)
        grown, more, positions = balanced(4, size + size // 10, seed)
        positions[: len(unit)] = position
        before, after = split(unit, label, position), split(grown, more, positions)[: len(unit)]
        shares += [float((before == after)[label == number].mean()) for number in range(4)]
    assert min(shares) >= least
    assert np.mean(shares) >= 0.995


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


def test_a_share_of_zero_gives_no_images() -> None:
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


@given(share=st.floats(0.05, 0.9), sizes=st.lists(st.integers(1000, 10**6), min_size=2, max_size=6))
def test_a_large_class_off_by_its_tolerance_keeps_its_part_of_the_split(share: float, sizes: list[int]) -> None:
    images = np.array(sizes, dtype=np.float64)
    off = tolerance(share, images)
    assert (off <= 0.0095 + 1e-12).all()
    part = images / images.sum()
    # this class at its upper tolerance, all others at their lower: its share of the split, to first order
    moved = 2 * part * (1 - part) * off / share
    assert (moved <= 0.0095 + 1e-9).all()
    assert ((moved >= 0.0095 - 1e-9) | (off >= 0.0095 - 1e-9)).all(), "the tolerance could be wider"


def test_tolerance_of_large_classes_is_that_of_the_formula() -> None:
    assert tolerance(0.1, np.array([1000.0])) == pytest.approx([0.0095])  # a single class is all of every split
    assert tolerance(0.1, np.array([5000.0, 5000.0])) == pytest.approx([0.95 * 0.1 * 0.02] * 2)
    assert tolerance(0.7, np.array([5000.0, 5000.0])) == pytest.approx([0.0095] * 2)
    assert tolerance(0.2, np.array([9000.0, 3000.0])) == pytest.approx([0.95 * 0.2 * 0.01 / (2 * 0.25 * 0.75)] * 2)


@pytest.mark.parametrize("size", [1, 40, 1000, 5000])
def test_a_split_without_images_has_no_tolerance_even_for_a_single_class(size: int) -> None:
    np.testing.assert_array_equal(tolerance(0, np.array([float(size)])), [0])
    label = np.zeros(size, np.int64)
    position = np.random.default_rng(0).random(size)
    everything = assign(np.arange(size), label, position, val=0, test=0)
    np.testing.assert_array_equal(everything, np.full(size, TRAIN))
    halves = assign(np.arange(size), label, position, val=0.5, test=0)
    assert set(halves.tolist()) <= {TRAIN, VAL}


@given(share=st.floats(0.05, 0.9), size=st.integers(1, 999), fixed=st.integers(1000, 10**6))
def test_tolerance_widens_to_two_deviations_of_a_fixed_boundary(share: float, size: int, fixed: int) -> None:
    off = float(tolerance(share, np.array([size, fixed], dtype=np.float64))[0])
    deviations = 2 * np.sqrt(share * (1 - share) / size)
    assert off <= max(deviations, 0.0095)
    assert off >= deviations * (1 - size / 1000) - 1e-12
    more = float(tolerance(share, np.array([size + 1, fixed], dtype=np.float64))[0])
    assert more <= off + 1e-9 or more <= 0.0095, "the tolerance of a larger class is wider"


def evenly(*segments: tuple[int, float, float]) -> Floats:
    """Positions: for each segment, a number of images evenly spaced between two bounds."""
    return np.concatenate([low + (np.arange(n) + 0.5) / n * (high - low) for n, low, high in segments])


def one_class(position: Floats) -> Integers:
    return split(np.arange(len(position)), np.zeros(len(position), np.int64), position)


def test_within_the_tolerance_the_boundaries_stay_fixed() -> None:
    position = evenly((105, 0.0, 0.1), (200, 0.1, 0.3), (695, 0.3, 1.0))
    expected = np.select([position < 0.1, position < 0.3], [TEST, VAL], TRAIN)
    np.testing.assert_array_equal(one_class(position), expected)


def test_a_position_at_a_boundary_is_above_it() -> None:
    position = np.r_[evenly((100, 0.0, 0.1)), 0.1, evenly((198, 0.1, 0.3)), 0.1 + 0.2, evenly((700, 0.31, 1.0))]
    now = one_class(position)
    assert now[100] == VAL
    assert now[299] == TRAIN


def test_too_many_below_the_boundary_are_cut_to_the_tolerance_nearest_first() -> None:
    # 150 of 1 000 lie in the test range; 10 % and 0.95 points are 109, and val takes the rest up to 30.95 %
    position = evenly((150, 0.0, 0.1), (150, 0.1, 0.3), (700, 0.3, 1.0))
    now = one_class(position)
    np.testing.assert_array_equal(now, np.repeat([TEST, VAL, TRAIN], [109, 191, 700]))


def test_too_few_below_the_boundary_are_filled_to_the_tolerance_nearest_first() -> None:
    position = evenly((50, 0.0, 0.1), (250, 0.1, 0.3), (700, 0.3, 1.0))
    np.testing.assert_array_equal(one_class(position), np.repeat([TEST, VAL, TRAIN], [91, 209, 700]))


def test_val_is_filled_and_cut_at_its_upper_boundary() -> None:
    few = evenly((100, 0.0, 0.1), (100, 0.1, 0.3), (800, 0.3, 1.0))
    np.testing.assert_array_equal(one_class(few), np.repeat([TEST, VAL, TRAIN], [100, 191, 709]))
    many = evenly((100, 0.0, 0.1), (80, 0.1, 0.26), (220, 0.26, 0.3), (600, 0.3, 1.0))
    np.testing.assert_array_equal(one_class(many), np.repeat([TEST, VAL, TRAIN], [100, 209, 691]))


def test_no_unit_above_the_wall_is_test_and_none_below_is_train() -> None:
    # all below the wall at 0.26, or all above: the wall holds although the shares are missed
    assert set(one_class(evenly((1000, 0.0, 0.2599)))) == {TEST, VAL}
    assert set(one_class(evenly((1000, 0.26, 1.0)))) == {VAL, TRAIN}


def test_each_class_is_balanced_separately() -> None:
    position = np.r_[evenly((150, 0.0, 0.1), (850, 0.1, 1.0)), evenly((60, 0.0, 0.1), (940, 0.1, 1.0))]
    label = np.repeat([0, 1], 1000)
    now = split(np.arange(2000), label, position)
    # two equal classes may each be 0.19 points off the tenth
    assert [int((now[label == number] == TEST).sum()) for number in (0, 1)] == [101, 99]


def test_guarantees_start_at_three_units_of_a_class() -> None:
    above = np.array([0.5, 0.6, 0.7])
    assert split(np.arange(2), np.zeros(2, np.int64), above[:2]).tolist() == [TRAIN, TRAIN]
    assert split(np.arange(3), np.zeros(3, np.int64), above).tolist() == [VAL, TRAIN, TRAIN]


def test_cover_takes_the_nearest_unit_that_is_not_the_last_of_its_split() -> None:
    unit, label = np.arange(4), np.zeros(4, np.int64)
    above = np.array([0.9, 0.6, 0.5, 0.7])
    assert split(unit, label, above, cover=True).tolist() == [TRAIN, TEST, VAL, TRAIN]
    below = np.array([0.02, 0.06, 0.05, 0.07])
    assert split(unit, label, below, cover=True)[[0, 3]].tolist() == [TEST, TRAIN]
    assert split(unit[:2], label[:2], above[:2], cover=True).tolist() == [TRAIN, TRAIN]


def test_cover_leaves_splits_of_share_zero_empty() -> None:
    unit, label, position = balanced(2, 8, 0)
    assert set(assign(unit, label, position, val=0.2, test=0.0, cover=True)) == {VAL, TRAIN}


def test_no_images_leave_every_unit_in_train() -> None:
    nothing = np.zeros(0, np.int64)
    assert split(nothing, nothing, np.array([0.05, 0.5])).tolist() == [TRAIN, TRAIN]


def test_class_numbers_may_have_gaps() -> None:
    position = evenly((100, 0.0, 0.1), (200, 0.1, 0.3), (700, 0.3, 1.0))
    label = np.full(1000, 2)
    np.testing.assert_array_equal(split(np.arange(1000), label, position), one_class(position))
