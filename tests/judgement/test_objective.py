"""The objective, and the standard error of a difference in it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from hallmark.contracts.errors import InputError
from hallmark.judgement.objective import GROUPS, Objective, difference_error, score

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLASSES = ["a", "b", "c"]
ACCURACY = Objective(metric="accuracy")


def certain(predicted: NDArray[np.int64]) -> NDArray[np.float64]:
    rows: NDArray[np.float64] = np.eye(len(CLASSES))[predicted]
    return rows


def test_the_jackknife_gives_the_standard_error_of_a_mean() -> None:
    """Of accuracies the difference is a mean over images: its standard error is known in closed form."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 4000)
    one, other = (np.where(random.random(4000) < right, labels, (labels + 1) % 3) for right in (0.9, 0.8))
    differences = (one == labels).astype(float) - (other == labels)
    expected = differences.std(ddof=1) / math.sqrt(len(labels))
    error = difference_error(ACCURACY, labels, certain(one), certain(other), CLASSES)
    # of GROUPS groups the error itself is known to one part in the square root of 2 GROUPS
    assert error == pytest.approx(expected, rel=3 / math.sqrt(2 * GROUPS))
    # of few images each is left out alone, which is exact
    few = slice(0, GROUPS)
    exact = differences[few].std(ddof=1) / math.sqrt(GROUPS)
    assert difference_error(ACCURACY, labels[few], certain(one[few]), certain(other[few]), CLASSES) == pytest.approx(
        exact
    )


def test_what_a_single_image_decides_is_not_sure() -> None:
    """Macro F1 of a one-image class jumps with that image; with a hundred images the same jump is significant."""
    objective = Objective(metric="macro_f1")
    for rare, sure in ((1, False), (100, True)):
        labels = np.repeat([0, 1, 2], [400, 400, rare])
        missed = np.where(labels == 2, 0, labels)
        gain = score(objective, labels, certain(labels), CLASSES) - score(objective, labels, certain(missed), CLASSES)
        error = difference_error(objective, labels, certain(labels), certain(missed), CLASSES)
        assert (gain > 4 * error) == sure


@pytest.mark.parametrize("metric", ["macro_f1", "balanced_accuracy", "auroc", "log_loss"])
def test_equal_answers_differ_surely_not(metric: str) -> None:
    labels = np.repeat([0, 1, 2], [30, 5, 2])
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), len(labels))
    assert difference_error(Objective(metric=metric), labels, probabilities, probabilities, CLASSES) == 0


def test_what_one_image_alone_defines_is_never_sure() -> None:
    objective = Objective(metric="recall", class_name="c")
    labels = np.repeat([0, 1, 2], [30, 30, 1])
    right, wrong = certain(labels), certain(np.zeros_like(labels))
    assert difference_error(objective, labels, right, wrong, CLASSES) == math.inf
    assert difference_error(ACCURACY, labels[:1], right[:1], wrong[:1], CLASSES) == math.inf


def test_no_cost_is_nought_and_not_minus_nought() -> None:
    value = score(Objective(metric="cost", costs={"a": {"b": 2.0}}), np.array([0, 1]), np.eye(2), ["a", "b"])
    assert str(value) == "0.0"


def test_a_right_answer_costs_nothing() -> None:
    Objective(metric="cost", costs={"a": {"a": 0.0, "b": 2.0}})
    with pytest.raises(InputError, match=r"^costs\.a\.a is 3, but a correct prediction costs nothing"):
        Objective(metric="cost", costs={"a": {"a": 3.0}})


@pytest.mark.parametrize("costs", [{"x": {"a": 2.0}}, {"a": {"x": 2.0}}])
def test_costs_of_a_class_that_the_data_lack_are_an_error(costs: dict[str, dict[str, float]]) -> None:
    objective = Objective(metric="cost", costs=costs)
    with pytest.raises(InputError, match="names the class 'x', which the data does not have"):
        objective.check_classes(CLASSES)
    Objective(metric="cost", costs={"a": {"b": 2.0}}).check_classes(CLASSES)
    # of another objective they do not count
    Objective(metric="accuracy", class_name="x", costs=costs).check_classes(CLASSES)
    with pytest.raises(InputError, match="names the class 'x'"):
        Objective(metric="recall", class_name="x", costs=costs).check_classes(CLASSES)
