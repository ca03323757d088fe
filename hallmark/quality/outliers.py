"""Outliers: a nearest-neighbour score, and a threshold from the tail of the scores.

For each kind of feature the score is the mean distance to the nearest neighbours (as in Kuan and Mueller, 2022) in the
Mahalanobis metric, which weights directions in which images hardly vary. The number of neighbours is a hundredth of the
images, so that a small cluster of outliers does not mask itself. Distances are converted to robust standard deviations
of their logarithm and summed over the kinds.

The threshold uses peaks over threshold (Pickands 1975): the tail beyond the 90 % quantile is taken as exponential, with
its scale from the 90 % and 97 % quantiles so that up to 3 % of outliers do not affect it, and extrapolated to the
allowed number of false alarms.
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
    """The outlier score ``[images]``: robust z-scores relative to the reference, summed over the kinds.

    ``kinds`` are principal components ``[images, dimensions]``. inf without another reference row.
    """
    total = np.zeros(len(reference))
    for components in kinds:
        variance = components[reference].var(axis=0, dtype=np.float64)
        # shrinkage to the mean limits the weight of noise directions
        scale = 1 / np.sqrt(np.maximum(variance + _SHRINK * variance.mean(), _LEAST))
        logs = np.log(np.maximum(distances((components * scale).astype(np.float32), reference), _LEAST))
        usual = logs[reference & np.isfinite(logs)]
        if len(usual) == 0:
            return np.full(len(reference), np.inf)
        middle, deviation = centre(usual)
        total += (logs - middle) / max(deviation, _LEAST_DEVIATION)
    return total


def distances(embedding: NDArray[np.float32], reference: NDArray[np.bool_]) -> Floats:
    """Mean distance of each row of ``[images, dimensions]`` to its nearest reference rows, excluding itself.

    Uses the nearest hundredth of the reference rows, at least 5 and at most 100; beyond 20 000 reference rows, evenly
    spaced ones. inf without another reference row.
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
    """The score above which about ``false_alarms`` normal images are expected; inf with fewer than 20 scores.

    ``scores`` are on a log scale, as from :func:`strangeness`.
    """
    logs = scores[np.isfinite(scores)]
    if len(logs) < 20:
        return float("inf")
    low, high = np.quantile(logs, [_LOW, _HIGH])
    scale = (high - low) / np.log((1 - _LOW) / (1 - _HIGH))
    beyond = max((1 - _LOW) * len(logs) / false_alarms, 1.0)
    return float(low + scale * np.log(beyond))
