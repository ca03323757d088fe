"""Is a network worth its training? Its objective against two simple baselines on the same test images.

``largest_class`` always predicts the class shares of the training set; ``linear`` is :mod:`hallmark.judgement.linear`.
A difference is the network's objective minus the baseline's, with a paired 95 % interval: both are evaluated on the
same resamples of duplicate clusters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hallmark.contracts.errors import InputError
from hallmark.judgement import assessment
from hallmark.judgement.linear import FEATURES, Linear, Moments, scatter, shrinkage
from hallmark.judgement.objective import score
from hallmark.statistics import intervals

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hallmark.judgement.judged import Judged
    from hallmark.judgement.objective import Objective
    from hallmark.statistics.intervals import Estimate

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

DIGITS = 6  # further digits depend on the number of linear-algebra threads
EVEN = ("balanced_accuracy", "recall")  # objectives that weight all classes equally


def largest_class(objective: Objective, judged: Judged, train_label: Integers, **draw: int) -> dict[str, Any]:
    """The constant baseline; ``train_label`` indexes ``judged.classes``."""
    count = np.bincount(train_label, minlength=len(judged.classes)).astype(np.float64)
    constant = judged.answered(np.tile(count / count.sum(), (len(judged.labels), 1)))
    return {"class_name": judged.classes[int(count.argmax())], **_compared(objective, judged, constant, **draw)}


def linear(
    objective: Objective, judged: Judged, train: Floats, train_label: Integers, test: Floats, **draw: int
) -> dict[str, Any]:
    """The linear classifier fitted on ``train`` [images, d]; ``test`` [n, d] are the images of ``judged``."""
    classes = int(train_label.max()) + 1
    images = [train[train_label == index] for index in range(classes)]
    within = sum((scatter(each) for each in images), np.zeros((train.shape[1],) * 2))
    shrink = shrinkage(train, train_label, classes)
    fitted = Linear.fit([Moments.of(each) for each in images], within, shrink=shrink, even=objective.metric in EVEN)
    answered = judged.answered(fitted.predict(test))
    return {"features": FEATURES, "n_train": len(train), **_compared(objective, judged, answered, **draw)}


def rounded(estimate: Estimate) -> Estimate:
    """The estimate rounded to :data:`DIGITS` digits.

    >>> rounded({"value": 1 / 3, "ci95": [None, 0.5]})
    {'value': 0.333333, 'ci95': [None, 0.5]}
    """

    def short(value: float | None) -> float | None:
        return None if value is None else round(value, DIGITS) + 0.0

    return {"value": short(estimate["value"]), "ci95": [short(edge) for edge in estimate["ci95"]]}


def _compared(objective: Objective, judged: Judged, other: Judged, **draw: int) -> dict[str, Any]:
    return {
        "n_test": len(judged.labels),
        "objective": rounded(assessment.objective_estimate(objective, other, **draw)),
        "accuracy": rounded(assessment.accuracy(other, **draw)),
        "difference": rounded(difference(objective, judged, other, **draw)),
    }


def difference(objective: Objective, one: Judged, other: Judged, *, replicates: int, seed: int) -> Estimate:
    """The objective of ``one`` minus that of ``other`` on the same images, with its paired interval.

    If all resamples agree, for example for two models without mistakes, the interval combines those of the two models
    (Zou and Donner, Statistics in Medicine 2008), whose width is never 0.
    """
    try:
        value = score(objective, one.labels, one.probabilities, one.classes) - score(
            objective, other.labels, other.probabilities, other.classes
        )
    except InputError:
        return intervals.undefined()
    draw = {"replicates": replicates, "seed": seed}
    drawn = assessment.objective_replicates(objective, one, **draw) - assessment.objective_replicates(
        objective, other, **draw
    )
    estimate = intervals.percentile(value, drawn)
    low, high = estimate["ci95"]
    if low is None or high > low:
        return estimate
    first, second = (assessment.objective_estimate(objective, each, **draw) for each in (one, other))
    below = np.hypot(first["value"] - first["ci95"][0], second["ci95"][1] - second["value"])
    above = np.hypot(first["ci95"][1] - first["value"], second["value"] - second["ci95"][0])
    return {"value": value, "ci95": [float(value - below), float(value + above)]}
