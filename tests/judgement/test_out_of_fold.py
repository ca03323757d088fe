from __future__ import annotations

import numpy as np
import pytest

from hallmark.judgement import assessment
from hallmark.judgement.judged import Judged
from hallmark.judgement.objective import Objective
from hallmark.judgement.out_of_fold import summarise, widened
from hallmark.statistics.intervals import student

N = 300


def judged(wrong: list[int], labels: np.ndarray | None = None) -> Judged:
    labels = np.arange(N) % 2 if labels is None else labels
    predicted = labels.copy()
    predicted[wrong] = 1 - predicted[wrong]
    probabilities = np.where(np.arange(2) == predicted[:, None], 0.9, 0.1)
    return Judged(labels, probabilities, np.arange(N), ("a", "b"))


FOLD = np.arange(N) % 5


def figures(one: Judged, metric: str = "accuracy", class_name: str = "") -> dict[str, object]:
    objective = Objective(metric=metric, class_name=class_name)
    return summarise(one, FOLD, [180] * 5, objective=objective, replicates=200, seed=0)


def test_values_are_those_of_all_predictions() -> None:
    one = judged([0, 5, 10, 21])
    made = figures(one)
    assert (made["folds"], made["n"], made["n_clusters"], made["n_train"]) == (5, N, N, 180)
    whole = assessment.overall(one, replicates=200, seed=0)
    for name, estimate in whole.items():
        assert made[name]["value"] == estimate["value"]  # type: ignore[index]
    assert made["objective"]["value"] == pytest.approx(296 / 300)  # type: ignore[index]
    assert made["per_class"]["a"]["support"] == 150  # type: ignore[index]


def test_an_interval_is_wider_where_folds_differ() -> None:
    # thirty mistakes, all in one fold of sixty images, or six in each
    in_one = figures(judged([n for n in range(N) if n % 5 == 0][:30]))
    spread = figures(judged(list(range(30))))
    accuracy = [0.5, 1, 1, 1, 1]
    half = student(accuracy, overlap=60 / 180)
    assert in_one["accuracy"]["value"] == spread["accuracy"]["value"] == 0.9  # type: ignore[index]
    assert in_one["accuracy"]["ci95"] == pytest.approx([0.9 - half, 1.0])  # type: ignore[index]
    bootstrap = assessment.overall(judged(list(range(30))), replicates=200, seed=0)["accuracy"]
    assert spread["accuracy"] == bootstrap


def test_a_metric_that_a_fold_does_not_define_has_the_bootstrap_s_interval() -> None:
    labels = np.where(FOLD == 0, 0, np.arange(N) % 2)
    one = judged([1, 2, 3, 4], labels)
    made = figures(one, "recall", "b")
    alone = assessment.objective_estimate(Objective(metric="recall", class_name="b"), one, replicates=200, seed=0)
    assert made["objective"]["ci95"] == alone["ci95"]  # type: ignore[index]


def test_losses_are_not_clipped_and_undefined_estimates_stay() -> None:
    estimate = {"value": 0.2, "ci95": [0.1, 0.3]}
    assert widened(estimate, [0.0, 3.0], 0.2, metric="log_loss")["ci95"][1] > 1
    assert widened({"value": None, "ci95": [None, None]}, [0.5, 0.6], 0.2, metric="accuracy")["value"] is None
