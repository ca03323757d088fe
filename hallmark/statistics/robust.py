"""Robust location and scale: insensitive to a few outliers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NORMAL = 1.4826  # standard deviation over median absolute deviation of a normal distribution


def centre(values: NDArray[np.float64]) -> tuple[float, float]:
    """Median and robust standard deviation of ``values`` [n], n >= 1.

    >>> centre(np.array([1.0, 2.0, 3.0, 4.0, 100.0]))
    (3.0, 1.4826)
    """
    from scipy.stats import median_abs_deviation

    return float(np.median(values)), _NORMAL * float(median_abs_deviation(values))
