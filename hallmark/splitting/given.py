"""A split that came with the data: honoured, and checked for leaks.

Two images of one unit (a user's group or a duplicate cluster) in different given splits are a leak: the model is tested
on what it was trained on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hallmark.contracts.errors import InputError
from hallmark.contracts.names import SPLITS
from hallmark.splitting.assignment import TEST, TRAIN, VAL, assign

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

ABSENT = -1


def read_given(given: pd.Series[str]) -> Integers:
    """Split numbers (indices of ``SPLITS``) per image, ABSENT where none is given. Raises InputError on other words."""
    numbers = given.map({name: number for number, name in enumerate(SPLITS)})
    unknown = sorted(set(given[given.notna() & numbers.isna()]))
    if unknown:
        raise InputError(
            f"the source's split column holds {', '.join(map(repr, unknown[:10]))}",
            remedy=f"use {', '.join(SPLITS)}, or leave it empty",
        )
    return np.asarray(numbers.fillna(ABSENT), dtype=np.int64)


def find_leaks(given: Integers, unit: Integers, n_units: int) -> NDArray[np.bool_]:
    """Per image: whether its unit has images in more than one given split."""
    low = np.full(n_units, len(SPLITS))
    high = np.full(n_units, ABSENT)
    known = given != ABSENT
    np.minimum.at(low, unit[known], given[known])
    np.maximum.at(high, unit[known], given[known])
    return (low < high)[unit]


def honour(
    given: Integers,
    unit: Integers,
    label: Integers,
    position: NDArray[np.float64],
    *,
    val: float,
    test: float,
    cover: bool,
    move: bool,
) -> tuple[Integers, list[str]]:
    """The split of each image, and the names of the splits that had to be carved out of the given train.

    An image keeps the split given; with ``move`` all images of a leaking unit take its most held-out one. Units
    without any given split are assigned as if alone. A source that gives val or test to no image gets the missing one
    out of its train part, in the share asked for of all its images.
    """
    assert (TRAIN, VAL, TEST) == (0, 1, 2), "a larger number must mean more held out"
    of_unit = np.full(len(position), ABSENT)
    np.maximum.at(of_unit, unit, given)
    split = of_unit[unit] if move else np.where(given == ABSENT, of_unit[unit], given)
    fresh = split == ABSENT
    if fresh.any():
        split[fresh] = assign(unit[fresh], label[fresh], position, val=val, test=test, cover=cover)[unit[fresh]]
    present = set(given.tolist())
    missing = [number for number, share in ((VAL, val), (TEST, test)) if number not in present and share > 0]
    # units with images in a given held-out split stay whole in what leaves train
    free = (split == TRAIN) & ~fresh & (of_unit[unit] == TRAIN)
    if missing and free.any() and TRAIN in present:
        known = int((~fresh).sum())
        shares = {number: min(0.5, share * known / free.sum()) for number, share in ((VAL, val), (TEST, test))}
        carved = assign(
            unit[free],
            label[free],
            position,
            val=shares[VAL] if VAL in missing else 0.0,
            test=shares[TEST] if TEST in missing else 0.0,
            cover=cover,
        )
        split[free] = carved[unit[free]]
        return split, [SPLITS[number] for number in missing]
    return split, []
