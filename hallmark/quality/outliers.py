"""Images unlike all others: how far from their neighbours, and a threshold from the tail of the scores.

In each kind of feature the score is the mean distance to the nearest neighbours (as in Kuan and Mueller, 2022) in
Mahalanobis's metric: a stranger is odd in directions in which the others hardly vary. As many neighbours are taken as a
hundredth of the images, so that a clump of strangers is not its own company. Distances become comparable as robust
standard deviations of their logarithm, and are added up over the kinds.

The threshold follows peaks over threshold (Pickands 1975): scores beyond their 90 % quantile are taken as exponential,
with the scale between the 90 % and the 97 % quantile so that up to 3 % of outliers cannot hide themselves, and
continued to where fewer than the allowed number of ordinary images is expected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hallmark.statistics.neighbours import NOBODY, mean_distance
from hallmark.statistics.robust import centre

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FEWEST_NEIGHBOURS, MOST_NEIGHBOURS = 5, 100
_REFERENCE = 20_000
_LOW, _HIGH = 0.90, 0.97
_LEAST, _LEAST_DEVIATION = 1e-6, 0.01
_SHRINK = 0.05


def strangeness(kinds: Sequence[NDArray[np.float32]], reference: NDArray[np.bool_]) -> Floats:
    """Sum over the kinds of how many robust standard deviations each of ``[images]`` is beyond the reference's median.

    ``kinds`` are principal components ``[images, dimensions]``. inf where there is no other reference row.
    """
    total = np.zeros(len(reference))
    for components in kinds:
        variance = components[reference].var(axis=0, dtype=np.float64)
        # a share of the mean keeps directions of mere noise from counting like the others
        scale = 1 / np.sqrt(np.maximum(variance + _SHRINK * variance.mean(), _LEAST))
        logs = np.log(np.maximum(distances((components * scale).astype(np.float32), reference), _LEAST))
        usual = logs[reference & np.isfinite(logs)]
        if len(usual) == 0:
            return np.full(len(reference), np.inf)
        middle, deviation = centre(usual)
        total += (logs - middle) / max(deviation, _LEAST_DEVIATION)
    return total


def distances(embedding: NDArray[np.float32], reference: NDArray[np.bool_]) -> Floats:
    """Mean distance of each row of ``[images, dimensions]`` to its nearest reference rows, itself left out.

    The nearest hundredth of the reference rows, but at least 5 and at most 100. Of more than 20 000 reference rows,
    evenly spaced ones serve. inf where there is no other reference row.
    """
    chosen = np.flatnonzero(reference)
    chosen = chosen[:: max(1, -(-len(chosen) // _REFERENCE))]
    own = np.full(len(embedding), NOBODY)
    own[chosen] = np.arange(len(chosen))
    k = min(max(FEWEST_NEIGHBOURS, min(len(chosen) // 100, MOST_NEIGHBOURS)), max(len(chosen) - 1, 0))
    if k == 0:
        return np.full(len(embedding), np.inf)
    return mean_distance(embedding, embedding[chosen], k=k, but=own)


def threshold(scores: Floats, *, false_alarms: float) -> float:
    """The score above which about ``false_alarms`` of ``[images]`` ordinary ones are expected; inf if none can be told.

    ``scores`` are on the scale of a logarithm, as :func:`strangeness` gives them.
    """
    logs = scores[np.isfinite(scores)]
    if len(logs) < 20:
        return float("inf")
    low, high = np.quantile(logs, [_LOW, _HIGH])
    scale = (high - low) / np.log((1 - _LOW) / (1 - _HIGH))
    beyond = max((1 - _LOW) * len(logs) / false_alarms, 1.0)
    return float(low + scale * np.log(beyond))
