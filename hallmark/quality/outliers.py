"""Images unlike all others: the mean distance to the nearest neighbours, and a threshold from its own tail.

The score is that of Kuan and Mueller's and others' kNN detectors: far from all training images in the principal
components of the pixels. The threshold follows peaks over threshold (Pickands 1975): log scores beyond their 90 %
quantile are taken as exponential, with the scale between the 90 % and the 97 % quantile so that up to 3 % of outliers
cannot hide themselves, and continued to where fewer than the allowed number of ordinary images is expected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

NEIGHBOURS = 5
_REFERENCE = 20_000
_LOW, _HIGH = 0.90, 0.97
_BLOCK = 2048


def distances(embedding: NDArray[np.float32], reference: NDArray[np.bool_]) -> Floats:
    """Mean distance of each row of ``[images, dimensions]`` to its 5 nearest reference rows, itself left out.

    Of more than 20 000 reference rows, evenly spaced ones serve. inf where there is no other reference row.
    """
    chosen = np.flatnonzero(reference)
    chosen = chosen[:: max(1, -(-len(chosen) // _REFERENCE))]
    anchors = embedding[chosen].astype(np.float64)
    own = np.full(len(embedding), -1)
    own[chosen] = np.arange(len(chosen))
    length = (anchors**2).sum(axis=1)
    k = min(NEIGHBOURS, max(len(chosen) - 1, 0))
    out = np.full(len(embedding), np.inf)
    if k == 0:
        return out
    for begin in range(0, len(embedding), _BLOCK):
        rows = embedding[begin : begin + _BLOCK].astype(np.float64)
        square = (rows**2).sum(axis=1)[:, None] + length - 2 * rows @ anchors.T
        mine = own[begin : begin + _BLOCK]
        square[np.flatnonzero(mine >= 0), mine[mine >= 0]] = np.inf
        nearest = np.partition(square, k - 1, axis=1)[:, :k]
        out[begin : begin + _BLOCK] = np.sqrt(nearest.clip(min=0)).mean(axis=1)
    return out


def threshold(scores: Floats, *, false_alarms: float) -> float:
    """The score above which about ``false_alarms`` of ``[images]`` ordinary ones are expected; inf if none can be told.

    Scores of 0 (copies) do not count.
    """
    logs = np.log(scores[np.isfinite(scores) & (scores > 0)])
    if len(logs) < 20:
        return float("inf")
    low, high = np.quantile(logs, [_LOW, _HIGH])
    scale = (high - low) / np.log((1 - _LOW) / (1 - _HIGH))
    beyond = max((1 - _LOW) * len(logs) / false_alarms, 1.0)
    return float(np.exp(low + scale * np.log(beyond)))
