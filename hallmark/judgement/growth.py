"""Would more images help? A learning curve of the linear baseline on parts of the training images.

A learning curve needs many trainings, which the linear baseline can afford and a network cannot. The baseline is fitted
on a quarter, a half and all images, of all classes or of one class with the others complete, and evaluated on the
validation images. Errors fall about as a power of the number of images (Hestness et al. 2017): the curve is a line in
logarithms, and its slope gives the share of the error that the next doubling removes. The interval resamples the
duplicate clusters of the validation images and the draws.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hallmark.contracts.errors import InputError
from hallmark.contracts.seeds import derive
from hallmark.judgement import assessment
from hallmark.judgement.baselines import DIGITS, EVEN, rounded
from hallmark.judgement.linear import Linear, Moments, scatter, shrinkage
from hallmark.judgement.objective import score
from hallmark.statistics import intervals

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from hallmark.judgement.judged import Judged
    from hallmark.judgement.objective import Objective

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

FRACTIONS = (0.25, 0.5, 1.0)
DRAWS = 5  # of each part of the images
REPLICATES = 200
LEAST_TRAIN, LEAST_VAL = 40, 20  # images for a curve
MOST_CLASSES = 12  # with a curve per class
LEAST_OF_CLASS = 8  # images of a class, so that a quarter of them is 2


def curves(
    objective: Objective,
    train: Floats,
    label: Integers,
    val: Floats,
    judged: Judged,
    *,
    weakest: Sequence[str],
    seed: int,
) -> dict[str, Any] | None:
    """The learning curve of all images and of single classes; None if there are too few images.

    Args:
        objective: The metric of the curve.
        train: Features of the training images, [images, d].
        label: Their classes, as indices into ``judged.classes``.
        val: Features of the validation images, [n, d].
        judged: Their labels and clusters; its probabilities are not used.
        weakest: Class names, in the order of priority.
        seed: Seed of the draws and resamples.

    Returns:
        The objective for ``all``, F1 and recall for each of ``classes``, at the numbers of images ``n``. ``doubling``
        is the share of the error (the best possible value minus the objective, 1 minus F1) that doubling removes.
    """
    present = np.unique(label)
    if len(train) < LEAST_TRAIN or len(val) < LEAST_VAL or len(present) < 2 or len(np.unique(judged.labels)) < 2:
        return None
    try:
        score(objective, judged.labels, judged.probabilities, judged.classes)
    except InputError:  # no validation image of the class whose recall counts
        return None
    computed = _Curves(objective, train, label, val, judged, seed)
    index_of = {name: index for index, name in enumerate(judged.classes)}
    count = np.bincount(label, minlength=len(judged.classes))
    chosen = [name for name in weakest if count[index_of[name]] >= LEAST_OF_CLASS][:MOST_CLASSES]
    return {
        "metric": objective.metric,
        "n_train": len(train),
        "n_val": len(val),
        "draws": DRAWS,
        "fractions": list(FRACTIONS),
        "all": computed.of_all(),
        "classes": {name: curve for name in chosen if (curve := computed.of_class(index_of[name])) is not None},
    }


def doubling(errors: Floats) -> Floats:
    """The share of the error that the next doubling removes, [...], from errors at :data:`FRACTIONS`, [..., fractions].

    >>> float(doubling(np.array([0.4, 0.2, 0.1])).round(3))
    0.5
    """
    x = np.log(np.array(FRACTIONS))
    x -= x.mean()
    slope = (np.log(errors) * x).sum(axis=-1) / (x**2).sum()
    return np.asarray(1 - 2**slope)


class _Curves:
    def __init__(
        self, objective: Objective, train: Floats, label: Integers, val: Floats, judged: Judged, seed: int
    ) -> None:
        self.objective, self.val, self.judged, self.seed = objective, val, judged, seed
        self.images = [train[label == place] for place in range(int(label.max()) + 1)]
        self.whole = [Moments.of(images) for images in self.images]
        self.within = sum((scatter(images) for images in self.images), np.zeros((train.shape[1],) * 2))
        self.shrink, self.n = shrinkage(train, label, len(self.images)), len(train)
        self.full = self._answers(self.whole, self.within)
        self.weights = intervals.bootstrap(
            lambda weights: {"weights": weights}, judged.labels, judged.clusters, replicates=REPLICATES, seed=seed
        )["weights"]

    def of_all(self) -> dict[str, Any]:
        """The curve of the objective as all classes grow."""

        def judge(answers: Judged) -> tuple[float, float, Floats]:
            value = score(self.objective, answers.labels, answers.probabilities, answers.classes)
            drawn = assessment.objective_replicates(self.objective, answers, replicates=REPLICATES, seed=self.seed)
            return value, value, drawn

        best = 0.0 if self.objective.metric in ("log_loss", "cost") else 1.0
        n, values, _, doubled = self._curve(None, judge, best)
        return {"n": n, "objective": values, "doubling": doubled}

    def of_class(self, index: int) -> dict[str, Any] | None:
        """The F1 curve of one class, with all images of the others; None without validation images of it."""
        mine = self.judged.labels == index
        if not mine.any():
            return None

        def judge(answers: Judged) -> tuple[float, float, Floats]:
            called = answers.predicted == index
            hits, sizes = (mine & called).astype(np.float64), mine.astype(np.float64) + called
            drawn = 2 * (self.weights @ hits) / (self.weights @ sizes)
            return float(2 * hits.sum() / sizes.sum()), float(hits.sum() / mine.sum()), drawn

        n, values, recalls, doubled = self._curve(index, judge, 1.0)
        return {"n": n, "f1": values, "recall": recalls, "doubling": doubled}

    def _curve(
        self, only: int | None, judge: Callable[[Judged], tuple[float, float, Floats]], best: float
    ) -> tuple[list[int], list[float], list[float], dict[str, Any]]:
        """Numbers of images; the two values of ``judge`` at each, averaged over the draws; the doubling."""
        values, seconds = np.empty((2, DRAWS, len(FRACTIONS)))
        drawn = np.empty((DRAWS, len(FRACTIONS), REPLICATES))
        numbers = []
        for column, fraction in enumerate(FRACTIONS):
            draws = DRAWS if fraction < 1 else 1  # all images are one draw
            for row in range(draws):
                answers, n = self._part(only, fraction, derive(self.seed, "growth", -1 if only is None else only, row))
                values[row, column], seconds[row, column], drawn[row, column] = judge(answers)
            for table in (values, seconds, drawn):
                table[draws:, column] = table[0, column]
            numbers.append(n)
        means = [[round(float(value), DIGITS) + 0.0 for value in table.mean(axis=0)] for table in (values, seconds)]
        return numbers, means[0], means[1], self._doubling(best - values, best - drawn)

    def _part(self, only: int | None, fraction: float, seed: int) -> tuple[Judged, int]:
        """The predictions after training on a fraction of the images (of class ``only``), and the number of them."""
        if fraction == 1.0:
            return self.full, self.n if only is None else self.whole[only].n
        generator = np.random.default_rng(seed)
        moments, within = list(self.whole), np.zeros_like(self.within)
        if only is not None:
            within = self.within - scatter(self.images[only])
        for index in range(len(self.images)) if only is None else [only]:
            images = self.images[index]
            # the smaller fraction is a subset of the larger one
            subset = generator.permutation(len(images))[: int(np.ceil(fraction * len(images)))]
            part = images[np.sort(subset)]
            moments[index] = Moments.of(part)
            within += scatter(part)
        n = sum(each.n for each in moments) if only is None else moments[only].n
        return self._answers(moments, within), n

    def _answers(self, moments: list[Moments], within: Floats) -> Judged:
        # the shrinkage that a covariance of n images needs falls as 1/n
        shrink = min(1.0, self.shrink * self.n / max(sum(each.n for each in moments), 1))
        fitted = Linear.fit(moments, within, shrink=shrink, even=self.objective.metric in EVEN)
        return self.judged.answered(fitted.predict(self.val))

    def _doubling(self, errors: Floats, drawn: Floats) -> dict[str, Any]:
        """From errors ``[draws, fractions]`` and their replicates ``[draws, fractions, replicates]``."""
        least = 0.5 / len(self.val)  # half an image: an error of 0 is below the resolution of these images
        generator = np.random.default_rng(derive(self.seed, "draws"))
        picked = generator.integers(DRAWS, size=(REPLICATES, DRAWS))
        resampled = np.stack([drawn[rows, :, replicate].mean(axis=0) for replicate, rows in enumerate(picked)])
        estimate = float(doubling(np.maximum(errors.mean(axis=0), least)))
        replicates = doubling(np.maximum(resampled[np.isfinite(resampled).all(axis=1)], least))
        return rounded(intervals.percentile(estimate, replicates))
