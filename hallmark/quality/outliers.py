"""Images unlike all others: how far from its neighbours, and from what the components can show; a threshold from the tail.

In each kind of feature the distance is the mean to the nearest neighbours (Kuan and Mueller's score, 2022) together with
the length of what the principal components leave out, for a stranger shows what the others have no components for (as
in ViM; Wang et al., CVPR 2022). As many neighbours are taken as a hundredth of the images: a clump of strangers
is then not its own company. Distances become comparable as robust standard deviations of their logarithm, and the
strangest kind counts: an odd shape is odd whatever its colours.

The threshold follows peaks over threshold (Pickands 1975): scores beyond their 90 % quantile are taken as exponential,
with the scale between the 90 % and the 97 % quantile so that up to 3 % of outliers cannot hide themselves, and continued
to where fewer than the allowed number of ordinary images is expected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FEWEST_NEIGHBOURS, MOST_NEIGHBOURS = 5, 100
_REFERENCE = 20_000
_LOW, _HIGH = 0.90, 0.97
_BLOCK = 2048
_LEAST, _LEAST_DEVIATION = 1e-6, 0.01


def strangeness(
    kinds: Sequence[NDArray[np.float32]], outside: Sequence[NDArray[np.float32]], reference: NDArray[np.bool_]
) -> Floats:
    """Robust standard deviations from the reference's median, in the kind of feature where they are most: [images].

    ``kinds`` are principal components ``[images, dimensions]``, ``outside`` the lengths ``[images]`` of what they leave
    out. inf where there is no other reference row.
    """
    scores = []
    for components, rest in zip(kinds, outside, strict=True):
        logs = np.log(np.maximum(np.hypot(distances(components, reference), rest), _LEAST))
        usual = logs[reference & np.isfinite(logs)]
        if len(usual) == 0:
            return np.full(len(reference), np.inf)
        middle = np.median(usual)
        deviation = 1.4826 * np.median(np.abs(usual - middle))
        scores.append((logs - middle) / max(float(deviation), _LEAST_DEVIATION))
    return np.asarray(np.max(scores, axis=0), np.float64)


def distances(embedding: NDArray[np.float32], reference: NDArray[np.bool_]) -> Floats:
    """Mean distance of each row of ``[images, dimensions]`` to its nearest reference rows, itself left out.

    The nearest hundredth of the reference rows, but at least 5 and at most 100. Of more than 20 000 reference rows, evenly spaced ones serve. inf where there is no other reference row.
    """
    chosen = np.flatnonzero(reference)
    chosen = chosen[:: max(1, -(-len(chosen) // _REFERENCE))]
    anchors = embedding[chosen].astype(np.float64)
    own = np.full(len(embedding), -1)
    own[chosen] = np.arange(len(chosen))
    length = (anchors**2).sum(axis=1)
    k = min(max(FEWEST_NEIGHBOURS, min(len(chosen) // 100, MOST_NEIGHBOURS)), max(len(chosen) - 1, 0))
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

    ``scores`` are on the scale of a logarithm, as :func:`strangeness` gives them.
    """
    logs = scores[np.isfinite(scores)]
    if len(logs) < 20:
        return float("inf")
    low, high = np.quantile(logs, [_LOW, _HIGH])
    scale = (high - low) / np.log((1 - _LOW) / (1 - _HIGH))
    beyond = max((1 - _LOW) * len(logs) / false_alarms, 1.0)
    return float(low + scale * np.log(beyond))
