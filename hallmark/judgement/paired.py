"""Is a change a gain? Paired differences of runs that differ in one change, and intervals of cross-validation.

Runs with the same seed are compared in pairs by the t interval (Student 1908). Cross-validation folds train on
overlapping images, so the spread over folds is too small; the variance is corrected after Nadeau and Bengio (2003):
(1/J + n_test/n_train) s^2 with J - 1 degrees of freedom, J = folds x repeats.

>>> interval([0.01, 0.02, 0.03])["value"]
0.02
>>> verdict(interval([0.01, 0.02, 0.03])), verdict(interval([0.01, 0.02, 0.015, 0.012, 0.018]))
('cannot tell', 'keep')
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hallmark.statistics.intervals import student, undefined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hallmark.statistics.intervals import Estimate

KEEP, DROP, CANNOT_TELL = "keep", "drop", "cannot tell"
OF_SHARES = (-1.0, 1.0)  # bounds of a difference of two shares
DIGITS = 12  # of a difference: further digits are float rounding


def interval(
    values: Sequence[float | None], *, overlap: float = 0.0, bounds: tuple[float, float] | None = None
) -> Estimate:
    """The mean with its 95 % t interval; undefined with fewer than two values or with a None.

    ``overlap`` is n_test / n_train of a cross-validation, 0 for independent repeats. The interval is clipped to
    ``bounds``.

    >>> interval([0.5, 0.1], bounds=(-1.0, 1.0))
    {'value': 0.3, 'ci95': [-1.0, 1.0]}
    """
    numbers = [value for value in values if value is not None and math.isfinite(value)]
    if len(numbers) < 2 or len(numbers) < len(values):
        return undefined()
    mean = round(float(np.mean(numbers)), DIGITS)
    half = student(numbers, overlap=overlap)
    low, high = bounds or (-math.inf, math.inf)
    return {"value": mean, "ci95": [round(max(low, mean - half), DIGITS), round(min(high, mean + half), DIGITS)]}


def differences(one: Sequence[float | None], other: Sequence[float | None]) -> list[float | None]:
    """``one`` minus ``other``, pair by pair; None where either is None."""
    return [a - b if a is not None and b is not None else None for a, b in zip(one, other, strict=True)]


def verdict(gain: dict[str, Any]) -> str:
    """``keep`` if the interval of a gain is entirely above 0, ``drop`` if entirely below, else ``cannot tell``."""
    low, high = gain["ci95"]
    if low is None or high is None:
        return CANNOT_TELL
    if low > 0:
        return KEEP
    return DROP if high < 0 else CANNOT_TELL
