"""Outliers: a nearest-neighbour score, and a threshold from the tail of the scores.

With features of a trained network, the score is the distance to the nearest class (:func:`class_distances`).

With gradients (:func:`strangeness`), for each kind of feature the score is the mean distance to the nearest neighbours
(as in Kuan and Mueller, 2022) in the Mahalanobis metric, which weights directions in which images hardly vary. The
number of neighbours is a hundredth of the images, so that a small cluster of outliers does not mask itself. Distances
are converted to robust standard deviations of their logarithm and summed over the kinds.

The threshold follows the allowed share of false alarms. The upper quarter of log distances to a class is taken as
normal, with its scale from the 75 % and 90 % quantiles (:func:`normal_threshold`). For gradients it uses peaks over
threshold (Pickands 1975): the tail beyond the 90 % quantile is taken as exponential, with its scale from the 90 % and
97 % quantiles so that up to 3 % of outliers do not affect it.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from hallmark.statistics.neighbours import NOBODY, kth_distance, mean_distance
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
_OF_CLASS = 0.1
_LOWER, _UPPER = 0.75, 0.90


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


def class_distances(features: NDArray[np.float32], label: NDArray[np.int64], reference: NDArray[np.bool_]) -> Floats:
    """The outlier score ``[images]`` by a network's features ``[images, features]``: the log distance to a class.

    Features have length 1. Of each class, the distance to the neighbour at a tenth of its reference images counts (at
    least the fifth), and the nearest class decides: a wrong label does not make an outlier, and alike strangers under
    several labels are too few in each class to be each other's neighbours. ``label`` ``[images]``; beyond 20 000
    reference rows, evenly spaced ones. inf without a class of six reference images.
    """
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), _LEAST)
    chosen = np.flatnonzero(reference)
    chosen = chosen[:: max(1, -(-len(chosen) // _REFERENCE))]
    score = np.full(len(features), np.inf)
    for each in np.unique(label[chosen]):
        rows = chosen[label[chosen] == each]
        k = max(FEWEST_NEIGHBOURS, round(len(rows) * _OF_CLASS))
        if len(rows) <= k:
            continue
        own = np.full(len(features), NOBODY)
        own[rows] = np.arange(len(rows))
        score = np.minimum(score, kth_distance(unit, unit[rows], k=k, but=own))
    return np.asarray(np.log(np.maximum(score, _LEAST)), np.float64)


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
    """The score above which about a share ``false_alarms`` of normal images lies; inf with fewer than 20 scores.

    ``scores`` are on a log scale, as from :func:`class_distances` and :func:`strangeness`.
    """
    logs = scores[np.isfinite(scores)]
    if len(logs) < 20:
        return float("inf")
    low, high = np.quantile(logs, [_LOW, _HIGH])
    scale = (high - low) / np.log((1 - _LOW) / (1 - _HIGH))
    beyond = max((1 - _LOW) / false_alarms, 1.0)
    return float(low + scale * np.log(beyond))


def normal_threshold(scores: Floats, *, false_alarms: float) -> float:
    """As :func:`threshold`, for the scores of :func:`class_distances`, whose upper quarter is taken as normal."""
    logs = scores[np.isfinite(scores)]
    if len(logs) < 20:
        return float("inf")
    low, high = np.quantile(logs, [_LOWER, _UPPER])
    at = NormalDist().inv_cdf
    return float(low + (high - low) * (at(1 - false_alarms) - at(_LOWER)) / (at(_UPPER) - at(_LOWER)))
