"""The published metrics of a test set, each with its interval.

Every function takes a :class:`hallmark.judgement.judged.Judged`: labels, predictions and duplicate clusters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hallmark.statistics import intervals, metrics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from hallmark.judgement.judged import Judged
    from hallmark.judgement.objective import Objective
    from hallmark.statistics.intervals import Estimate

    Floats = NDArray[np.float64]


def points(judged: Judged) -> dict[str, float | None]:
    """``accuracy, balanced_accuracy, macro_f1, log_loss, ece`` without intervals; None where undefined."""
    counts = metrics.Counts.of(judged.labels, judged.predicted, len(judged.classes))
    values = {
        "accuracy": float(judged.right.mean()),
        "balanced_accuracy": float(counts.balanced_accuracy()),
        "macro_f1": float(counts.macro_f1()),
        "log_loss": float(metrics.log_losses(judged.labels, judged.probabilities).mean()),
        "ece": float(metrics.ece(judged.confidence, judged.right, metrics.bins_of(judged.confidence))[0]),
    }
    return {name: value if np.isfinite(value) else None for name, value in values.items()}


def overall(judged: Judged, *, replicates: int, seed: int) -> dict[str, Estimate]:
    """``accuracy, balanced_accuracy, macro_f1, log_loss, ece`` of all images; undefined without images."""
    names = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece")
    if len(judged.labels) == 0:
        return {name: intervals.undefined() for name in names}
    k = len(judged.classes)
    counts = metrics.Counts.of(judged.labels, judged.predicted, k)
    losses = metrics.log_losses(judged.labels, judged.probabilities)
    bins = metrics.bins_of(judged.confidence)

    def statistic(weights: Floats) -> dict[str, Floats]:
        drawn = metrics.Counts.of(judged.labels, judged.predicted, k, weights)
        return {
            "accuracy": drawn.accuracy(),
            "balanced_accuracy": drawn.balanced_accuracy(),
            "macro_f1": drawn.macro_f1(),
            "log_loss": weights @ losses / weights.sum(axis=1),
            "ece": metrics.ece(judged.confidence, judged.right, bins, weights),
        }

    drawn = intervals.bootstrap(statistic, judged.labels, judged.clusters, replicates=replicates, seed=seed)
    evidence = intervals.effective(_clusters_per_class(judged))
    return {
        "accuracy": intervals.proportion(float(counts.accuracy()), drawn["accuracy"], judged.n_clusters()),
        "balanced_accuracy": intervals.proportion(
            float(counts.balanced_accuracy()), drawn["balanced_accuracy"], evidence
        ),
        "macro_f1": intervals.proportion(float(counts.macro_f1()), drawn["macro_f1"], evidence),
        "log_loss": intervals.percentile(float(losses.mean()), drawn["log_loss"]),
        "ece": intervals.basic(
            float(metrics.ece(judged.confidence, judged.right, bins)[0]),
            drawn["ece"],
        ),
    }


def per_class(judged: Judged, *, replicates: int, seed: int) -> dict[str, dict[str, Any]]:
    """``support`` and ``precision, recall, f1`` with intervals, by class; None where undefined."""
    k = len(judged.classes)
    counts = metrics.Counts.of(judged.labels, judged.predicted, k)
    values_by_metric = {"precision": counts.precision(), "recall": counts.recall(), "f1": counts.f1()}

    def statistic(weights: Floats) -> dict[str, Floats]:
        drawn = metrics.Counts.of(judged.labels, judged.predicted, k, weights)
        return {"precision": drawn.precision(), "recall": drawn.recall(), "f1": drawn.f1()}

    n = len(judged.labels)
    drawn = (
        intervals.bootstrap(statistic, judged.labels, judged.clusters, replicates=replicates, seed=seed)
        if n
        else {name: np.empty((0, k)) for name in values_by_metric}
    )
    evidence = {
        "precision": _clusters_per_class(judged, judged.predicted),
        "recall": _clusters_per_class(judged),
        "f1": _clusters_per_class(judged),
    }
    out: dict[str, dict[str, Any]] = {}
    for index, name in enumerate(judged.classes):
        out[name] = {"support": int(counts.actual[index])}
        for metric, values in values_by_metric.items():
            out[name][metric] = intervals.proportion(
                float(values[index]), drawn[metric][:, index], float(evidence[metric][index])
            )
    return out


def weakest_first(classes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The classes of :func:`per_class` by rising F1; classes with undefined F1 come last.

    >>> weakest_first({"cat": {"f1": {"value": 0.9}}, "dog": {"f1": {"value": 0.2}}, "owl": {"f1": {"value": None}}})
    ['dog', 'cat', 'owl']
    """

    def key(name: str) -> tuple[bool, float, str]:
        value = classes[name]["f1"]["value"]
        return value is None, value or 0.0, name

    return sorted(classes, key=key)


def accuracy(judged: Judged, *, replicates: int, seed: int) -> Estimate:
    """Accuracy alone, for slices and perturbed images."""
    if len(judged.labels) == 0:
        return intervals.undefined()
    right = judged.right.astype(np.float64)
    drawn = intervals.bootstrap(
        lambda weights: {"accuracy": weights @ right / weights.sum(axis=1)},
        judged.labels,
        judged.clusters,
        replicates=replicates,
        seed=seed,
    )
    return intervals.proportion(float(right.mean()), drawn["accuracy"], judged.n_clusters())


def accuracy_change(before: Judged, after: Judged, *, replicates: int, seed: int) -> Estimate:
    """The paired difference in accuracy, after minus before, on the same images."""
    change = after.right.astype(np.float64) - before.right
    drawn = intervals.bootstrap(
        lambda weights: {"change": weights @ change / weights.sum(axis=1)},
        before.labels,
        before.clusters,
        replicates=replicates,
        seed=seed,
    )
    return intervals.percentile(float(change.mean()), drawn["change"])


def objective_estimate(objective: Objective, judged: Judged, *, replicates: int, seed: int) -> Estimate:
    """The objective with its interval; undefined if the images do not define it."""
    from hallmark.contracts.errors import InputError
    from hallmark.judgement.objective import score

    try:
        value = score(objective, judged.labels, judged.probabilities, judged.classes)
    except InputError:
        return intervals.undefined()
    drawn = objective_replicates(objective, judged, replicates=replicates, seed=seed)
    if objective.metric in ("log_loss", "cost"):
        return intervals.percentile(value, drawn)
    evidence = _clusters_per_class(judged)
    if objective.metric == "recall":
        n = float(evidence[judged.classes.index(objective.class_name)])
    else:
        n = judged.n_clusters() if objective.metric == "accuracy" else intervals.effective(evidence)
    return intervals.proportion(value, drawn, n)


def objective_replicates(objective: Objective, judged: Judged, *, replicates: int, seed: int) -> Floats:
    """The objective of each resample, [replicates]; equal labels, clusters and seed give the same resamples."""
    from hallmark.judgement.objective import cost_matrix

    k = len(judged.classes)

    def statistic(weights: Floats) -> dict[str, Floats]:
        total = weights.sum(axis=1)
        if objective.metric == "log_loss":
            values = -(weights @ metrics.log_losses(judged.labels, judged.probabilities)) / total
        elif objective.metric == "cost":
            values = -(weights @ cost_matrix(objective, judged.classes)[judged.labels, judged.predicted]) / total
        elif objective.metric == "auroc":
            values = metrics.weighted_auroc(judged.labels, judged.probabilities, weights)
        else:
            counts = metrics.Counts.of(judged.labels, judged.predicted, k, weights)
            match objective.metric:
                case "accuracy":
                    values = counts.accuracy()
                case "balanced_accuracy":
                    values = counts.balanced_accuracy()
                case "macro_f1":
                    values = counts.macro_f1()
                case _:
                    values = counts.recall()[:, judged.classes.index(objective.class_name)]
        return {"value": values}

    return intervals.bootstrap(statistic, judged.labels, judged.clusters, replicates=replicates, seed=seed)["value"]


def top_confusions(judged: Judged, limit: int = 10) -> list[dict[str, Any]]:
    """The most frequent mistakes, ``actual, predicted, n``, in falling order."""
    matrix = metrics.confusion(judged.labels, judged.predicted, len(judged.classes))
    np.fill_diagonal(matrix, 0)
    order = np.argsort(-matrix, axis=None, kind="stable")[:limit]
    names: Sequence[str] = judged.classes
    cells = [divmod(int(cell), len(names)) for cell in order]
    return [
        {"actual": names[actual], "predicted": names[predicted], "n": int(matrix[actual, predicted])}
        for actual, predicted in cells
        if matrix[actual, predicted] > 0
    ]


def _clusters_per_class(judged: Judged, index: NDArray[np.int64] | None = None) -> Floats:
    """Number of clusters with an image whose ``index`` (default: the label) is the class, [classes]."""
    pairs = np.unique(np.stack([judged.labels if index is None else index, judged.clusters]), axis=1)
    return np.bincount(pairs[0], minlength=len(judged.classes)).astype(np.float64)
