"""The objective: the one metric that training, tuning, the registration gate and the report use to rank models.

>>> import numpy as np
>>> labels, probabilities = np.array([0, 0, 1]), np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
>>> round(score(Objective(metric="accuracy"), labels, probabilities, ["cat", "dog"]), 3)
0.667
>>> round(score(Objective(metric="recall", class_name="cat"), labels, probabilities, ["cat", "dog"]), 3)
0.5
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hallmark.contracts import require
from hallmark.contracts.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

GROUPS = 20  # jackknife groups of a standard error
METRIC, CLASS_NAME = "objective.metric", "objective.class_name"
METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "recall", "log_loss", "cost")


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A metric: ``recall`` is that of ``class_name``; ``cost`` uses ``costs``.

    ``costs`` maps the actual class to the predicted class to the cost of that mistake; other mistakes cost 1, correct
    predictions 0.
    """

    metric: str
    class_name: str = ""
    costs: dict[str, dict[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require.one_of(METRICS, metric=self.metric)
        if self.metric == "recall":
            require.not_blank("name the class whose recall counts", class_name=self.class_name)
        require.that(
            self.metric != "cost" or bool(self.costs),
            "is empty",
            remedy="give {actual: {predicted: cost}} for the mistakes that count",
            field="costs",
        )
        require.at_least(0, costs=self.costs)
        for name, row in self.costs.items():
            require.that(
                not row.get(name),
                f"is {row.get(name, 0):g}, but a correct prediction costs nothing",
                remedy="name mistakes only",
                field=f"costs.{name}.{name}",
            )

    def check_classes(self, classes: Sequence[str]) -> None:
        """Raises InputError if it names a class that is not in ``classes``."""
        named = {self.class_name} if self.metric == "recall" else set()
        if self.metric == "cost":
            named |= set(self.costs) | {name for row in self.costs.values() for name in row}
        for name in sorted(named - set(classes)):
            raise InputError(
                f"objective names the class '{name}', which the data does not have",
                remedy=f"choose one of: {', '.join(classes)}",
            )


def score(
    objective: Objective,
    labels: NDArray[np.integer[Any]],
    probabilities: NDArray[np.floating[Any]],
    classes: Sequence[str],
) -> float:
    """The objective on ``labels`` [n] (indices into classes) and ``probabilities`` [n, classes]; higher is better.

    Log loss and cost are negated. Raises InputError if the rows do not define the objective: no rows, none of the
    class whose recall counts, or a single class for AUROC.
    """
    import numpy as np

    from hallmark.statistics import metrics

    if len(labels) == 0:
        raise InputError(f"'{objective.metric}' needs at least one image, but there is none", field=METRIC)
    objective.check_classes(classes)
    if objective.metric == "log_loss":
        return -float(metrics.log_losses(labels, probabilities).mean())
    if objective.metric == "auroc":
        value = metrics.auroc(labels, probabilities)
        if value is None:
            raise InputError(
                "'auroc' needs images of two classes or more", remedy="choose another metric", field=METRIC
            )
        return value
    predicted = np.asarray(probabilities).argmax(axis=1)
    if objective.metric == "accuracy":
        return float((predicted == labels).mean())
    if objective.metric == "cost":
        return 0.0 - float(cost_matrix(objective, classes)[labels, predicted].mean())
    counts = metrics.Counts.of(labels, predicted, len(classes))
    if objective.metric == "recall":
        index = list(classes).index(objective.class_name)
        if counts.actual[index] == 0:
            raise InputError(
                f"there is no image of the class '{objective.class_name}' to measure its recall",
                field=CLASS_NAME,
                remedy="add images of that class or choose another objective",
            )
        return float(counts.hits[index] / counts.actual[index])
    return float(counts.balanced_accuracy() if objective.metric == "balanced_accuracy" else counts.macro_f1())


def gain_bounds(objective: Objective) -> tuple[float, float] | None:
    """The bounds of a difference of two scores; None if scores have no lower bound."""
    return None if objective.metric in ("log_loss", "cost") else (-1.0, 1.0)


def difference_error(
    objective: Objective,
    labels: NDArray[np.integer[Any]],
    one: NDArray[np.floating[Any]],
    other: NDArray[np.floating[Any]],
    classes: Sequence[str],
) -> float:
    """The standard error of ``score(one) - score(other)``, both [n, classes] on the same ``labels`` [n].

    A delete-group jackknife (Efron & Tibshirani 1993, ch. 11) with GROUPS groups, or single images if there are fewer.
    Each class is spread over the groups, so that rare classes remain in nearly every rest. Infinite if a rest does not
    define the objective, as with one image.
    """
    import numpy as np

    count = min(GROUPS, len(labels))
    if count < 2:
        return math.inf
    group = np.empty(len(labels), np.int64)
    group[np.argsort(labels, kind="stable")] = np.arange(len(labels)) % count
    differences = []
    for left_out in range(count):
        rest = group != left_out
        try:
            differences.append(
                score(objective, labels[rest], one[rest], classes)
                - score(objective, labels[rest], other[rest], classes)
            )
        except InputError:  # the group holds all images of a class that the objective needs
            return math.inf
    return float(np.std(differences) * math.sqrt(count - 1))


def cost_matrix(objective: Objective, classes: Sequence[str]) -> NDArray[np.float64]:
    """The cost of each mistake, [actual, predicted]."""
    import numpy as np

    matrix = 1.0 - np.eye(len(classes))
    index = {name: position for position, name in enumerate(classes)}
    for actual, row in objective.costs.items():
        for predicted, cost in row.items():
            matrix[index[actual], index[predicted]] = cost
    return matrix


def describe(objective: Objective) -> str:
    """The objective in words.

    >>> describe(Objective(metric="recall", class_name="cat"))
    "recall of 'cat'"
    """
    if objective.metric == "recall":
        return f"recall of '{objective.class_name}'"
    return objective.metric.replace("_", " ")
