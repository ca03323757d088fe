"""Splits predefined by the source: kept, completed and checked for leaks.

A unit (a user's group or a duplicate cluster) with images in two predefined splits is a leak: the model would be tested
on images it was trained on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hallmark.contracts.errors import InputError
from hallmark.contracts.names import SPLITS
from hallmark.splitting.assignment import TEST, TRAIN, VAL

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from hallmark.splitting.stability import Rule

    Integers = NDArray[np.int64]

ABSENT = -1


def read_split(fixed: pd.Series[str]) -> Integers:
    """Split number (index of ``SPLITS``) per image, ABSENT for an empty value. Raises InputError for unknown names."""
    numbers = fixed.map({name: number for number, name in enumerate(SPLITS)})
    unknown = sorted(set(fixed[fixed.notna() & numbers.isna()]))
    if unknown:
        raise InputError(
            f"the source's split column holds {', '.join(map(repr, unknown[:10]))}",
            remedy=f"use {', '.join(SPLITS)}, or leave it empty",
        )
    return np.asarray(numbers.fillna(ABSENT), dtype=np.int64)


def find_leaks(fixed: Integers, unit: Integers, n_units: int) -> NDArray[np.bool_]:
    """Per image: whether its unit has images in more than one predefined split."""
    low = np.full(n_units, len(SPLITS))
    high = np.full(n_units, ABSENT)
    assigned = fixed != ABSENT
    np.minimum.at(low, unit[assigned], fixed[assigned])
    np.maximum.at(high, unit[assigned], fixed[assigned])
    return (low < high)[unit]


def complete(
    fixed: Integers,
    unit: Integers,
    label: Integers,
    position: NDArray[np.float64],
    *,
    rule: Rule,
    val: float,
    test: float,
    move: bool,
) -> tuple[Integers, list[str]]:
    """The split of each image, and the names of the splits carved out of the predefined train.

    Images keep their predefined split; with ``move`` all images of a leaking unit take its most held-out one. Units
    without a predefined split are assigned among themselves by ``rule``. If the source has no val or no test images,
    the missing split is carved out of train; ``val`` and ``test`` are shares of all images with a predefined split.
    """
    assert (TRAIN, VAL, TEST) == (0, 1, 2), "larger numbers must be more held out"
    of_unit = np.full(len(position), ABSENT)
    np.maximum.at(of_unit, unit, fixed)
    split = of_unit[unit] if move else np.where(fixed == ABSENT, of_unit[unit], fixed)
    fresh = split == ABSENT
    if fresh.any():
        split[fresh] = rule(unit[fresh], label[fresh], position, val=val, test=test)[unit[fresh]]
    present = set(fixed.tolist())
    missing = [number for number, share in ((VAL, val), (TEST, test)) if number not in present and share > 0]
    # a unit with images in a held-out split is not carved, so that it stays whole
    free = (split == TRAIN) & ~fresh & (of_unit[unit] == TRAIN)
    if missing and free.any() and TRAIN in present:
        assigned = int((~fresh).sum())
        shares = {number: min(0.5, share * assigned / free.sum()) for number, share in ((VAL, val), (TEST, test))}
        carved = rule(
            unit[free],
            label[free],
            position,
            val=shares[VAL] if VAL in missing else 0.0,
            test=shares[TEST] if TEST in missing else 0.0,
        )
        split[free] = carved[unit[free]]
        return split, [SPLITS[number] for number in missing]
    return split, []


def summary(
    fixed: Integers, leaks: NDArray[np.bool_], moved: NDArray[np.bool_], unit: Integers, carved: list[str]
) -> dict[str, Any]:
    """Counts of the images with a predefined split, of the leaks and of the moved; ``carved`` as of :func:`complete`.

    All arrays have one entry per image.
    """
    return {
        "images": int((fixed != ABSENT).sum()),
        "leaking_images": int(leaks.sum()),
        "leaking_units": len(set(unit[leaks].tolist())),
        "moved_images": int(moved.sum()),
        "carved": carved,
    }
