"""Gradient magnitude by orientation, the basis of HOG features (Dalal and Triggs, CVPR 2005)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Pictures = NDArray[np.floating[Any]]  # [n, height, width]


def planes(length: Pictures, turn: Pictures, orientations: int) -> Iterator[Pictures]:
    """The gradient lengths [n, height, width] of each orientation; each is split linearly between the nearest two.

    ``turn`` is the direction in bins, from 0 to ``orientations`` (a full turn); the shares have its dtype.

    >>> quarter = planes(np.ones((1, 1, 1)), np.full((1, 1, 1), 3.25), 4)
    >>> [float(plane[0, 0, 0]) for plane in quarter]
    [0.25, 0.0, 0.0, 0.75]
    """
    low = np.floor(turn).astype(np.int64)
    part = turn - np.floor(turn)
    for orientation in range(orientations):
        share = np.where(low % orientations == orientation, 1 - part, 0)
        share = share + np.where((low + 1) % orientations == orientation, part, 0)
        yield length * share
