"""Label errors: out-of-fold probabilities of a classifier compared with the given labels.

The classifier is kernel ridge regression on one-hot labels with a Gaussian kernel (one linear solve, no training loop);
temperature scaling turns its scores into probabilities. Kernel width and ridge minimise the out-of-fold log loss.
Beyond 1 000 training images, 1 000 evenly spaced ones are the centres (Nyström; Williams and Seeger, NIPS 2000).
Quality scores and the estimated number of errors come from cleanlab.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from hallmark.statistics import temperature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

_CENTRES = 1000
_WIDTHS = (0.5, 1.0)  # in units of the inverse median squared distance
_RIDGES = (0.03, 0.3)
_BLOCK = 8192
_JITTER = 1e-8


@dataclass(frozen=True, kw_only=True, eq=False)
class Classifier:
    """The fitted classifier; :meth:`predict` returns probabilities ``[images, classes]``."""

    centres: Floats
    weights: Floats  # [centres, classes]
    prior: Floats  # [classes]
    width: float
    sharpness: float  # factor of the scores

    def predict(self, embedding: NDArray[np.float32]) -> Floats:
        parts = [kernel @ self.weights + self.prior for _, kernel in _kernels(embedding, self.centres, self.width)]
        scores = np.concatenate(parts) if parts else np.zeros((0, len(self.prior)))
        return temperature.softmax(scores * self.sharpness)


def fit(embedding: NDArray[np.float32], label: Integers, fold: Integers, n_classes: int) -> tuple[Classifier, Floats]:
    """The classifier of ``[images, dimensions]``, and out-of-fold probabilities ``[images, classes]``.

    ``fold`` ``[images]`` numbers from 0: each image is predicted by a fit on the other folds. Needs two folds with
    images and two classes.
    """
    n = len(embedding)
    centres = embedding[:: -(-n // _CENTRES)].astype(np.float64)
    target = np.eye(n_classes)[label]
    unit = float(np.median(_squares(embedding[:: -(-n // 500)].astype(np.float64), centres)))
    best: tuple[float, float, float, float, Floats] | None = None
    for width in _WIDTHS:
        gram, moment, count = _sums(embedding, target, fold, centres, width / max(unit, 1e-12))
        inner = _kernel(centres, centres, width / max(unit, 1e-12))
        for ridge in _RIDGES:
            scores = np.empty((n, n_classes))
            for number in range(len(gram)):
                rest = [other for other in range(len(gram)) if other != number]
                prior = count[rest].sum(axis=0) / count[rest].sum()
                weights = _solve(gram[rest].sum(axis=0), moment[rest].sum(axis=0), prior, inner, ridge)
                out = np.flatnonzero(fold == number)
                for part, kernel in _kernels(embedding[out], centres, width / max(unit, 1e-12)):
                    scores[out[part]] = kernel @ weights + prior
            sharpness, loss = _sharpness(scores, label)
            if best is None or loss < best[0]:
                best = (loss, width / max(unit, 1e-12), ridge, sharpness, scores)
    assert best is not None
    _, width, ridge, sharpness, scores = best
    gram, moment, count = _sums(embedding, target, fold, centres, width)
    prior = count.sum(axis=0) / count.sum()
    weights = _solve(gram.sum(axis=0), moment.sum(axis=0), prior, _kernel(centres, centres, width), ridge)
    model = Classifier(centres=centres, weights=weights, prior=prior, width=width, sharpness=sharpness)
    return model, temperature.softmax(scores * sharpness)


def calibrated(probabilities: Floats, label: Integers) -> Floats:
    """Another classifier's out-of-fold probabilities ``[images, classes]`` after temperature scaling.

    Networks are overconfident, so their raw probabilities are no evidence (Guo et al., ICML 2017).
    """
    scores = np.log(np.maximum(probabilities, 1e-12))
    return temperature.softmax(scores * _sharpness(scores, label)[0])


def folds(unit: Integers, label: Integers, order: Floats, count: int) -> Integers:
    """A fold in [0, count) per image: whole units, assigned round-robin per class, sorted by ``order``.

    ``unit`` ``[images]`` marks what must stay together (copies), ``order`` ``[images]`` is any fixed number per image.
    """
    _, first, which = np.unique(unit, return_index=True, return_inverse=True)
    by_class = np.lexsort((first, order[first], label[first]))
    fold = np.empty(len(first), np.int64)
    fold[by_class] = np.arange(len(first)) % count
    return fold[which]


def find_issues(label: Integers, probabilities: Floats, *, evidence: float) -> NDArray[np.bool_]:
    """Which labels are likely wrong, bool [images]: another class is ``evidence`` times more probable.

    cleanlab's filters derive the number of issues from a count that hard images inflate. This rule and its default were
    chosen among some 14 rules on digits, hand signs and clothes; no evaluation on other data exists yet.
    """
    own = probabilities[np.arange(len(label)), label]
    return np.asarray(probabilities.max(axis=1, initial=0.0) > evidence * own, bool)


def doubted_for_rarity(
    label: Integers, probabilities: Floats, count: Integers, *, evidence: float
) -> NDArray[np.bool_]:
    """Which of :func:`find_issues` vanish under equal class priors, bool [images].

    A classifier gives rare classes low probability whatever the image shows. ``count`` ``[classes]`` are the images it
    was fitted on; dividing by them gives the probabilities under equal priors (Saerens et al., Neural Computation
    2002).
    """
    even = probabilities / np.maximum(count, 1)
    return find_issues(label, probabilities, evidence=evidence) & ~find_issues(label, even, evidence=evidence)


def estimated_errors(label: Integers, probabilities: Floats) -> int:
    """How many labels confident learning believes wrong (Northcutt et al., JAIR 2021): the sum beside the diagonal of
    its joint of given and true labels; ``label`` must hold two classes at least."""
    from cleanlab.count import num_label_issues

    present = np.unique(label)
    # cleanlab requires every class to occur: the probability of absent ones is redistributed in proportion
    part = probabilities[:, present] + 1e-12
    return int(num_label_issues(np.searchsorted(present, label), part / part.sum(axis=1, keepdims=True)))


def label_quality(label: Integers, probabilities: Floats) -> Floats:
    """Normalised margin in [0, 1] per image: near 0 where another class is far more probable than the label."""
    from cleanlab.rank import get_label_quality_scores

    if len(label) == 0:
        return np.zeros(0)
    return np.asarray(get_label_quality_scores(label, probabilities, method="normalized_margin"), np.float64)


def _squares(a: Floats, b: Floats) -> Floats:
    square: Floats = np.maximum((a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T, 0)
    return square


def _kernel(a: Floats, b: Floats, width: float) -> Floats:
    kernel: Floats = np.exp(-width * _squares(a, b))
    return kernel


def _kernels(embedding: NDArray[np.float32], centres: Floats, width: float) -> Iterator[tuple[slice, Floats]]:
    """Blocks of rows and their kernel to the centres, to avoid a matrix of images x 1 000."""
    for begin in range(0, len(embedding), _BLOCK):
        part = slice(begin, begin + _BLOCK)
        yield part, _kernel(embedding[part].astype(np.float64), centres, width)


def _sums(
    embedding: NDArray[np.float32], target: Floats, fold: Integers, centres: Floats, width: float
) -> tuple[Floats, Floats, Floats]:
    """Per fold: K'K, [K'Y, K'1] and the class counts, from one pass over the images."""
    count, m, classes = int(fold.max()) + 1, len(centres), target.shape[1]
    gram, moment, counts = np.zeros((count, m, m)), np.zeros((count, m, classes + 1)), np.zeros((count, classes))
    for number in range(count):
        rows = np.flatnonzero(fold == number)
        for part, kernel in _kernels(embedding[rows], centres, width):
            wanted = target[rows[part]]
            gram[number] += kernel.T @ kernel
            moment[number] += kernel.T @ np.column_stack([wanted, np.ones(len(wanted))])
            counts[number] += wanted.sum(axis=0)
    return gram, moment, counts


def _solve(gram: Floats, moment: Floats, prior: Floats, inner: Floats, ridge: float) -> Floats:
    """argmin |Y - prior - K w|² + ridge w' inner w."""
    matrix = gram + ridge * inner
    matrix[np.diag_indices_from(matrix)] += _JITTER * np.trace(matrix) / len(matrix)
    weights: Floats = cho_solve(cho_factor(matrix), moment[:, :-1] - moment[:, -1:] * prior)
    return weights


def _sharpness(scores: Floats, label: Integers) -> tuple[float, float]:
    """The factor of the scores with the least log loss, and that loss."""
    return temperature.fit(scores, label, bounds=(-2.0, 5.0), divide=False, capped=False)
