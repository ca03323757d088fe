"""95 % intervals by the bootstrap: whole duplicate clusters are drawn with replacement, within classes.

Images of one duplicate cluster count as one observation, so they are drawn together; drawing within classes keeps the
test set's class counts. Percentile intervals (Efron & Tibshirani 1993); where all replicates agree, for example when
the model makes no mistake, the Wilson score interval (Wilson 1927) replaces them. The calibration error is never
negative, so resampling biases it upwards for a calibrated model: its interval is the basic (reflected) one, cut at 0.

>>> labels, clusters = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2])  # the first two images are one cluster
>>> bootstrap(lambda weights: {"first": weights[:, 0]}, labels, clusters, replicates=3, seed=0)["first"].tolist()
[1.0, 1.0, 1.0]
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Indices = NDArray[np.integer[Any]]
    Floats = NDArray[np.float64]

Z = 1.959963984540054  # the 97.5 % point of the normal distribution
CHUNK = 20_000_000  # weights in memory at once: 160 MB

Estimate = dict[str, Any]


def bootstrap(
    statistic: Callable[[Floats], dict[str, Floats]], strata: Indices, clusters: Indices, *, replicates: int, seed: int
) -> dict[str, Floats]:
    """Each statistic of every replicate, [replicates, ...].

    ``statistic`` takes draw counts per image, [chunk of replicates, n]. A cluster belongs to the stratum of its first
    image.
    """
    generator = np.random.default_rng(seed)
    layout = _layout(strata, clusters)
    step = max(1, CHUNK // max(len(strata), 1))
    parts = [
        statistic(_draw(*layout, min(step, replicates - start), generator)) for start in range(0, replicates, step)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def proportion(value: float, replicates: Floats, n: float) -> Estimate:
    """A share in [0, 1] with its interval; ``n`` is the number of independent observations behind it."""
    finite = replicates[np.isfinite(replicates)]
    if not math.isfinite(value) or len(finite) == 0:
        return undefined()
    low, high = (float(edge) for edge in np.quantile(finite, [0.025, 0.975]))
    if low == high:
        low, high = wilson(value, n)
    return {"value": float(value), "ci95": [min(low, float(value)), max(high, float(value))]}


def percentile(value: float, replicates: Floats) -> Estimate:
    """Any other quantity with its percentile interval."""
    finite = replicates[np.isfinite(replicates)]
    if not math.isfinite(value) or len(finite) == 0:
        return undefined()
    low, high = (float(edge) for edge in np.quantile(finite, [0.025, 0.975]))
    return {"value": float(value), "ci95": [min(low, float(value)), max(high, float(value))]}


def basic(value: float, replicates: Floats) -> Estimate:
    """A quantity >= 0 that resampling inflates, with its basic interval cut at 0."""
    low, high = (float(edge) for edge in np.quantile(replicates, [0.025, 0.975]))
    return {
        "value": float(value),
        "ci95": [max(0.0, min(2 * value - high, value)), max(2 * value - low, float(value))],
    }


def student(values: Sequence[float] | Floats, *, overlap: float = 0.0) -> float:
    """Half the width of the 95 % t interval of the mean of at least two values (Student 1908).

    ``overlap`` is n_test / n_train of a cross-validation, whose folds train on overlapping images, and 0 for
    independent repeats (Nadeau and Bengio 2003).
    """
    from scipy.stats import t

    error = float(np.std(values, ddof=1)) * math.sqrt(1 / len(values) + overlap)
    return float(t.ppf(0.975, len(values) - 1)) * error


def undefined() -> Estimate:
    """The estimate of a quantity that the images do not define: all None."""
    return {"value": None, "ci95": [None, None]}


def wilson(value: float, n: float) -> tuple[float, float]:
    """The Wilson score interval of a share observed in ``n`` trials.

    >>> [round(edge, 3) for edge in wilson(1.0, 10)]
    [0.722, 1.0]
    """
    if n <= 0:
        return 0.0, 1.0
    centre = (value + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(value * (1 - value) / n + Z**2 / (4 * n**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def effective(sizes: Floats) -> float:
    """The sample size whose accuracy has the same variance as the mean of shares over samples of ``sizes``."""
    sizes = sizes[sizes > 0]
    return float(len(sizes) ** 2 / (1 / sizes).sum()) if len(sizes) else 0.0


def _layout(strata: Indices, clusters: Indices) -> tuple[Indices, Indices, Indices]:
    """Clusters ordered by stratum: each image's cluster, and each cluster's stratum start and size."""
    _, first, cluster_of = np.unique(clusters, return_index=True, return_inverse=True)
    stratum = strata[first]
    order = np.argsort(stratum, kind="stable")
    position = np.empty_like(order)
    position[order] = np.arange(len(order))
    _, starts, sizes = np.unique(stratum[order], return_index=True, return_counts=True)
    return position[cluster_of], np.repeat(starts, sizes), np.repeat(sizes, sizes)


def _draw(
    cluster_of: Indices, starts: Indices, sizes: Indices, replicates: int, generator: np.random.Generator
) -> Floats:
    n_clusters = len(starts)
    weights = np.empty((replicates, len(cluster_of)))
    for replicate in range(replicates):
        drawn = starts + (generator.random(n_clusters) * sizes).astype(np.int64)
        weights[replicate] = np.bincount(drawn, minlength=n_clusters)[cluster_of]
    return weights
