"""The summary of predictions on labelled images: every published figure that follows from them alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hallmark.contracts import progress
from hallmark.contracts.names import probability_columns
from hallmark.judgement import assessment, slices
from hallmark.judgement.publication import warnings_of
from hallmark.statistics.metrics import auroc

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from hallmark.judgement.judged import Judged
    from hallmark.judgement.objective import Objective


def summarise(
    images: pd.DataFrame,
    judged: Judged,
    *,
    trained: Sequence[str],
    objective: Objective,
    max_slices: int,
    replicates: int,
    seed: int,
) -> dict[str, Any]:
    """The values of the evaluation report that follow from the predictions, by their names there.

    Args:
        images: The columns that :func:`slices.divide` takes, a row per image.
        judged: The predictions on ``images``, in their order.
        trained: The classes the model knows.
        objective: The metric that chose the model.
        max_slices: Dimensions with more slices are left out.
        replicates: Resamples for each interval.
        seed: Seed of the resamples.
    """
    draw = {"replicates": replicates, "seed": seed}
    progress.report("computing intervals")
    figures = assessment.overall(judged, **draw)
    classes = assessment.per_class(judged, **draw)
    parts = slices.judge(judged, slices.divide(images, most=max_slices), **draw)
    estimate = assessment.objective_estimate(objective, judged, **draw)
    plain = (images["fate"] != "flagged").to_numpy(dtype=bool)
    return {
        "n_test": len(images),
        "n_clusters": judged.n_clusters(),
        "objective": {"metric": objective.metric, "class_name": objective.class_name, **estimate},
        **figures,
        "auroc": auroc(judged.labels, judged.probabilities),
        "per_class": classes,
        "slices": parts,
        "confusions": assessment.top_confusions(judged),
        "without_flagged": {"n": int(plain.sum()), **assessment.overall(judged.rows(plain), **draw)},
        "probability_columns": dict(zip(judged.classes, probability_columns(judged.classes), strict=True)),
        "warnings": warnings_of(judged, trained, classes, parts, figures, estimate),
    }
