from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from hallmark.contracts.errors import InputError
from hallmark.splitting.assignment import TEST, TRAIN, VAL
from hallmark.splitting.predefined import ABSENT, complete, find_leaks, read_split
from hallmark.splitting.stability import EXACT, HASH, rule

STABLE = rule(HASH, cover=False)


def test_unknown_split_names_are_rejected() -> None:
    fixed = pd.Series(["train", None, "holdout"], dtype="string")
    with pytest.raises(InputError, match="'holdout'"):
        read_split(fixed)
    assert read_split(fixed[:2]).tolist() == [TRAIN, ABSENT]


def test_a_unit_in_two_splits_is_a_leak() -> None:
    unit = np.array([0, 0, 1, 1, 2])
    fixed = np.array([TRAIN, TEST, TRAIN, ABSENT, VAL])
    assert find_leaks(fixed, unit, 3).tolist() == [True, True, False, False, False]


@pytest.mark.parametrize("move", [True, False])
def test_a_predefined_split_is_kept(move: bool) -> None:
    unit = np.array([0, 0, 1, 1, 2])
    fixed = np.array([TRAIN, TEST, VAL, ABSENT, TRAIN])
    split, carved = complete(
        fixed, unit, np.zeros(5, np.int64), np.full(3, 0.9), val=0.2, test=0.1, rule=STABLE, move=move
    )
    assert split.tolist() == [TEST if move else TRAIN, TEST, VAL, VAL, TRAIN]
    assert carved == []


def test_a_missing_val_is_carved_out_of_train() -> None:
    random = np.random.default_rng(0)
    fixed = np.where(np.arange(2000) % 5 == 0, TEST, TRAIN)
    split, carved = complete(
        fixed, np.arange(2000), np.arange(2000) % 2, random.random(2000), val=0.2, test=0.1, rule=STABLE, move=True
    )
    assert carved == ["val"]
    assert (split[fixed == TEST] == TEST).all()
    assert (split == VAL).mean() == pytest.approx(0.2, abs=0.02)
    assert not (split[fixed == TRAIN] == TEST).any()


def test_at_most_ten_unknown_names_are_listed_with_the_valid_ones() -> None:
    fixed = pd.Series([f"w{number:02}" for number in range(12)], dtype="string")
    with pytest.raises(InputError) as error:
        read_split(fixed)
    assert f"holds {', '.join(repr(f'w{number:02}') for number in range(10))}" in str(error.value)
    assert "w10" not in str(error.value)
    assert "use train, val, test, or leave it empty" in str(error.value)


def carve(
    fixed: list[int], *, val: float = 0.2, test: float = 0.1, stability: str = HASH
) -> tuple[list[int], list[str]]:
    """Single-image units of two alternating classes, at evenly spread positions."""
    n = len(fixed)
    position = (np.random.default_rng(0).permutation(n) + 0.5) / n
    split, carved = complete(
        np.array(fixed),
        np.arange(n),
        np.arange(n) % 2,
        position,
        rule=rule(stability, cover=False),
        val=val,
        test=test,
        move=False,
    )
    return np.bincount(split, minlength=3).tolist(), carved


def test_only_missing_splits_are_carved_in_the_requested_share() -> None:
    assert carve([TRAIN] * 700 + [VAL] * 200 + [TEST] * 100) == ([700, 200, 100], [])
    shares, carved = carve([TRAIN] * 900 + [VAL] * 100)
    assert carved == ["test"]
    assert shares == pytest.approx([800, 100, 100], abs=8)
    shares, carved = carve([TRAIN] * 1000)
    assert carved == ["val", "test"]
    assert shares == pytest.approx([700, 200, 100], abs=8)


def test_a_split_of_no_share_is_not_carved() -> None:
    shares, carved = carve([TRAIN] * 1000, test=0.0)
    assert carved == ["val"]
    assert shares[TEST] == 0
    assert carve([TRAIN] * 100 + [VAL] * 20, test=0.0) == ([100, 20, 0], [])


def test_at_most_half_of_train_is_carved_for_a_split() -> None:
    shares, carved = carve([TRAIN] * 200 + [TEST] * 800, val=0.3)
    assert carved == ["val"]
    assert shares == pytest.approx([100, 100, 800], abs=4)


def test_a_source_without_train_is_unchanged() -> None:
    assert carve([VAL] * 10 + [TEST] * 10) == ([0, 10, 10], [])


def test_images_without_a_split_are_assigned_by_their_own_labels_and_not_carved_again() -> None:
    # 400 images of two classes have no split: each class is balanced among those alone
    n = 1200
    fixed = np.where(np.arange(n) < 400, ABSENT, np.where(np.arange(n) < 1000, TRAIN, VAL))
    label = np.arange(n) % 2
    position = np.concatenate([np.random.default_rng(1).random(400), np.full(800, 0.95)])
    split, carved = complete(fixed, np.arange(n), label, position, val=0.2, test=0.1, rule=STABLE, move=True)
    for number in (0, 1):
        shares = np.bincount(split[:400][label[:400] == number], minlength=3) / 200
        assert shares == pytest.approx([0.7, 0.2, 0.1], abs=0.06)
    assert carved == ["test"]
    assert (split[1000:] == VAL).all()
    assert (split[:400] == TEST).sum() == pytest.approx(40, abs=12)


def test_an_image_without_a_split_takes_the_split_of_its_unit() -> None:
    unit = np.array([0, 0, 1, 1, 2, 2])
    fixed = np.array([TRAIN, ABSENT, VAL, ABSENT, TEST, ABSENT])
    split, _ = complete(fixed, unit, np.zeros(6, np.int64), np.full(3, 0.9), val=0.2, test=0.1, rule=STABLE, move=False)
    assert split.tolist() == [TRAIN, TRAIN, VAL, VAL, TEST, TEST]


def test_an_image_in_train_beside_a_held_out_one_is_not_carved() -> None:
    # units of two images: the first 50 are in train and test, the others in train alone
    unit = np.repeat(np.arange(550), 2)
    fixed = np.where((unit < 50) & (np.arange(1100) % 2 == 0), TEST, TRAIN)
    position = (np.random.default_rng(0).permutation(550) + 0.5) / 550
    split, carved = complete(fixed, unit, np.arange(1100) % 2, position, val=0.2, test=0.1, rule=STABLE, move=False)
    assert carved == ["val"]
    np.testing.assert_array_equal(split[:100], fixed[:100])
    for number in range(50, 550):
        assert len(set(split[unit == number])) == 1


def test_leaks_do_not_count_images_without_a_split() -> None:
    unit = np.array([1, 1, 0, 0, 2, 2, 2])
    fixed = np.array([VAL, ABSENT, TRAIN, TRAIN, VAL, TEST, ABSENT])
    assert find_leaks(fixed, unit, 3).tolist() == [False] * 4 + [True] * 3


@pytest.mark.parametrize(("stability", "counts"), [(EXACT, [42, 12, 6]), (HASH, [50, 10, 0])])
def test_the_rule_decides_what_is_carved(stability: str, counts: list[int]) -> None:
    # all positions are above the wall: the stable rule cannot reach the shares
    now, carved = complete(
        *(np.full(60, TRAIN), np.arange(60), np.arange(60) % 2, np.linspace(0.8, 0.9, 60)),
        rule=rule(stability, cover=False),
        val=0.2,
        test=0.1,
        move=False,
    )
    assert carved == ["val", "test"]
    assert np.bincount(now, minlength=3).tolist() == counts
