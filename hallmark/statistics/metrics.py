"""Classifier metrics from weighted counts: one formula serves a set and its resamples.

Shapes: ``labels`` and ``predicted`` are class indices [n], ``probabilities`` [n, classes]. A leading axis of ``Counts``
is the replicate: [replicates, classes].

>>> counts = Counts.of(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
>>> float(counts.balanced_accuracy())
0.75
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse, stats

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Indices = NDArray[np.integer[Any]]
    Floats = NDArray[np.float64]

BINS = 15  # of the calibration error


@dataclass(frozen=True)
class Counts:
    """Weighted hits, actual and predicted images per class, each [..., classes]."""

    hits: Floats
    actual: Floats
    predicted: Floats

    @staticmethod
    def of(labels: Indices, predicted: Indices, classes: int, weights: Floats | None = None) -> Counts:
        """Counts of the rows, each of weight 1, or of every replicate of ``weights`` [replicates, n]."""
        right = labels == predicted

        def total(index: Indices, keep: NDArray[np.bool_]) -> Floats:
            if weights is None:
                return np.bincount(index[keep], minlength=classes).astype(np.float64)
            rows = np.flatnonzero(keep)
            indicator = sparse.csr_array((np.ones(len(rows)), (rows, index[rows])), shape=(len(index), classes))
            # SciPy makes no dense copy when the sparse matrix is on the left of the product
            return np.asarray((indicator.T @ weights.T).T, dtype=np.float64)

        everything = np.ones(len(labels), dtype=bool)
        return Counts(total(labels, right), total(labels, everything), total(predicted, everything))

    def accuracy(self) -> Floats:
        """The share of hits, [...]."""
        return _divide(self.hits.sum(-1), self.actual.sum(-1))

    def recall(self) -> Floats:
        """Per class, [..., classes]; NaN for a class without images."""
        return _divide(self.hits, self.actual)

    def precision(self) -> Floats:
        """Per class, [..., classes]; NaN for a class never predicted."""
        return _divide(self.hits, self.predicted)

    def f1(self) -> Floats:
        """Per class, [..., classes]; NaN for a class neither present nor predicted."""
        return _divide(2 * self.hits, self.actual + self.predicted)

    def balanced_accuracy(self) -> Floats:
        """Mean recall over the classes present, [...]."""
        return _mean_where(self.recall(), self.actual > 0)

    def macro_f1(self) -> Floats:
        """Mean F1 over the classes present or predicted, [...]."""
        return _mean_where(self.f1(), (self.actual + self.predicted) > 0)


def log_losses(labels: Indices, probabilities: NDArray[np.floating[Any]]) -> Floats:
    """Negative log probability of the true class, in nats, [n]."""
    chosen = np.asarray(probabilities, dtype=np.float64)[np.arange(len(labels)), labels]
    return np.asarray(-np.log(np.clip(chosen, np.finfo(np.float64).eps, 1.0)), dtype=np.float64)


def auroc(labels: Indices, probabilities: NDArray[np.floating[Any]]) -> float | None:
    """One-vs-rest area under the ROC curve, averaged over the classes with positive and negative images.

    None if there is no such class. Ties count half (Mann-Whitney).
    """
    values = []
    for index in range(probabilities.shape[1]):
        positive = labels == index
        if positive.any() and not positive.all():
            values.append(superiority(probabilities[positive, index], probabilities[~positive, index]))
    return float(np.mean(values)) if values else None


def superiority(one: NDArray[np.floating[Any]], other: NDArray[np.floating[Any]]) -> float:
    """The probability that a value of ``one`` exceeds one of ``other``; ties count half (Mann and Whitney 1947).

    >>> superiority(np.array([1.0, 3.0]), np.array([1.0, 2.0]))
    0.625
    """
    ranks = stats.rankdata(np.concatenate([one, other]))
    above = ranks[: len(one)].sum() - len(one) * (len(one) + 1) / 2
    return float(above / (len(one) * len(other)))


def weighted_auroc(labels: Indices, probabilities: NDArray[np.floating[Any]], weights: Floats) -> Floats:
    """:func:`auroc` of every replicate of ``weights`` [replicates, n]; NaN where it is None."""
    values = []
    for index in range(probabilities.shape[1]):
        levels, level = np.unique(probabilities[:, index], return_inverse=True)
        spread = sparse.csr_array(
            (np.ones(len(level)), (np.arange(len(level)), level)), shape=(len(level), len(levels))
        )
        positive = np.asarray((spread.T @ (weights * (labels == index)).T).T)
        negative = np.asarray((spread.T @ (weights * (labels != index)).T).T)
        below = np.cumsum(negative, axis=1) - negative / 2
        values.append(_divide((positive * below).sum(-1), positive.sum(-1) * negative.sum(-1)))
    stacked = np.stack(values, axis=-1)
    return _mean_where(stacked, np.isfinite(stacked))


def confusion(labels: Indices, predicted: Indices, classes: int) -> NDArray[np.int64]:
    """The confusion matrix: image counts [actual, predicted]."""
    flat = np.bincount(labels * classes + predicted, minlength=classes * classes)
    return flat.reshape(classes, classes).astype(np.int64)


def bins_of(confidence: NDArray[np.floating[Any]], bins: int = BINS) -> NDArray[np.int64]:
    """The equal-mass bin of each image by rank of confidence, [n]; equal confidences share a bin."""
    n = len(confidence)
    ranks = stats.rankdata(confidence, method="min") - 1
    return np.asarray(ranks * min(bins, max(n, 1)) // max(n, 1), dtype=np.int64)


def ece(
    confidence: NDArray[np.floating[Any]],
    right: NDArray[np.bool_],
    bins: NDArray[np.int64],
    weights: Floats | None = None,
) -> Floats:
    """Expected calibration error: mass-weighted mean gap of confidence and accuracy per bin (Naeini et al. 2015).

    One value, or one per replicate of ``weights`` [replicates, n].
    """
    gap = np.asarray(confidence, dtype=np.float64) - right
    rows = np.arange(len(gap))
    spread = sparse.csr_array((gap, (rows, bins)), shape=(len(gap), int(bins.max()) + 1))
    weights = np.ones((1, len(gap))) if weights is None else weights
    per_bin = np.abs(np.asarray(spread.T @ weights.T)).sum(axis=0)
    return np.asarray(per_bin / weights.sum(axis=1), dtype=np.float64)


def _divide(above: Floats, below: Floats) -> Floats:
    out = np.full(np.broadcast_shapes(np.shape(above), np.shape(below)), np.nan)
    return np.asarray(np.divide(above, below, out=out, where=np.asarray(below) > 0))


def _mean_where(values: Floats, keep: NDArray[np.bool_]) -> Floats:
    return _divide(np.where(keep, values, 0.0).sum(-1), keep.sum(-1).astype(np.float64))
