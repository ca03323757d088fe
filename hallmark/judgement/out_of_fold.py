"""The figures of a cross-validation: metrics of all out-of-fold predictions, with intervals that know the folds.

A value is the metric of all predictions together. Its 95 % interval is, at each end, the wider of two: the corrected t
interval over the folds (Nadeau and Bengio 2003), around the value, and the cluster bootstrap of the predictions. A
metric that a fold does not define has the bootstrap's interval alone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hallmark.contracts.errors import InputError
from hallmark.judgement import assessment
from hallmark.judgement.objective import score
from hallmark.statistics.intervals import student

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from hallmark.judgement.judged import Judged
    from hallmark.judgement.objective import Objective
    from hallmark.statistics.intervals import Estimate

UNBOUNDED = ("log_loss", "cost")


def summarise(
    judged: Judged,
    fold: NDArray[np.int64],
    n_train: Sequence[int],
    *,
    objective: Objective,
    replicates: int,
    seed: int,
) -> dict[str, Any]:
    """``folds n n_clusters n_train objective accuracy ... per_class`` of the predictions.

    ``fold`` [n] is the fold, from 0, that held each image out; ``n_train`` counts the training images of each fold.
    """
    draw = {"replicates": replicates, "seed": seed}
    parts = [judged.rows(fold == number) for number in range(len(n_train))]
    overlap = float(np.mean([len(part.labels) / n for part, n in zip(parts, n_train, strict=True)]))
    whole = assessment.overall(judged, **draw)
    by_fold = [assessment.points(part) for part in parts]
    estimate = assessment.objective_estimate(objective, judged, **draw)
    return {
        "folds": len(n_train),
        "n": len(judged.labels),
        "n_clusters": judged.n_clusters(),
        "n_train": round(float(np.mean(n_train))),
        "objective": {
            "metric": objective.metric,
            "class_name": objective.class_name,
            **widened(estimate, [_objective(objective, part) for part in parts], overlap, metric=objective.metric),
        },
        **{name: widened(each, [one[name] for one in by_fold], overlap, metric=name) for name, each in whole.items()},
        "per_class": assessment.per_class(judged, **draw),
    }


def widened(estimate: Estimate, by_fold: Sequence[float | None], overlap: float, *, metric: str) -> Estimate:
    """The estimate with the wider interval; see the module.

    >>> [round(edge, 3) for edge in widened(
    ...     {"value": 0.8, "ci95": [0.79, 0.81]}, [0.7, 0.8, 0.9], 0.5, metric="accuracy")["ci95"]]
    [0.407, 1.0]
    >>> widened({"value": 0.8, "ci95": [0.79, 0.81]}, [0.8, 0.8, 0.8], 0.5, metric="accuracy")
    {'value': 0.8, 'ci95': [0.79, 0.81]}
    """
    value, (low, high) = estimate["value"], estimate["ci95"]
    defined = [each for each in by_fold if each is not None and math.isfinite(each)]
    if value is None or low is None or high is None or len(defined) < max(2, len(by_fold)):
        return estimate
    half = student(defined, overlap=overlap)
    wide = [min(low, value - half), max(high, value + half)]
    if metric not in UNBOUNDED:
        wide = [max(0.0, wide[0]), min(1.0, wide[1])]
    return {"value": value, "ci95": wide}


def _objective(objective: Objective, part: Judged) -> float | None:
    try:
        return score(objective, part.labels, part.probabilities, part.classes)
    except InputError:
        return None  # the fold has no image of the class that it names
