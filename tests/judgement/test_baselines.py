"""The baselines and the learning curve on sets with a known result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallmark.judgement import assessment, baselines, comparison, growth, linear
from hallmark.judgement.judged import Judged
from hallmark.judgement.objective import METRICS, Objective
from hallmark.statistics import intervals

ACCURACY = Objective(metric="accuracy")
DRAW = {"replicates": 200, "seed": 0}


def clouds(n: int, *, gap: float, classes: int = 2, seed: int = 0) -> tuple[Any, Any]:
    """Features [n, 12] of classes whose means differ by ``gap`` deviations, and their labels."""
    generator = np.random.default_rng(seed)
    label = np.arange(n) % classes
    images = generator.normal(size=(n, 12))
    images[np.arange(n), label] += gap
    return images, label.astype(np.int64)


def judged(label: Any, right: float = 1.0, classes: int = 2) -> Judged:
    """Predictions of which the share ``right`` is correct."""
    answer = np.where(np.arange(len(label)) < right * len(label), label, (label + 1) % classes)
    names = tuple(f"class {index}" for index in range(classes))
    return Judged(label, np.eye(classes)[answer] * 0.9 + 0.05, np.arange(len(label)), names)


def test_a_linear_set_leaves_a_network_nothing_to_gain() -> None:
    train, label = clouds(300, gap=12)
    test, truth = clouds(100, gap=12, seed=1)
    result = baselines.linear(ACCURACY, judged(truth), train, label, test, **DRAW)
    assert result["accuracy"]["value"] == result["objective"]["value"] == 1.0
    assert result["n_train"] == 300
    low, high = result["difference"]["ci95"]
    assert result["difference"]["value"] == 0.0
    assert low < 0 < high, "two models without a mistake are not known to be equal"
    assert high < 0.05


def test_a_linear_model_at_chance_is_surely_beaten() -> None:
    train, label = clouds(300, gap=0)
    test, truth = clouds(200, gap=0, seed=1)
    result = baselines.linear(ACCURACY, judged(truth, 0.95), train, label, test, **DRAW)
    assert 0.35 < result["accuracy"]["value"] < 0.65
    assert result["difference"]["value"] == pytest.approx(0.95 - result["accuracy"]["value"], abs=1e-6)
    assert result["difference"]["ci95"][0] > 0.2


def test_what_both_get_wrong_cancels() -> None:
    _, label = clouds(200, gap=0)
    one, other = judged(label, 0.60), judged(label, 0.58)
    gap = baselines.difference(ACCURACY, one, other, **DRAW)
    alone = 0.6 - 0.5
    assert gap["ci95"][1] - gap["ci95"][0] < alone, "paired: the 80 images both get wrong say nothing of the difference"
    turned = baselines.difference(ACCURACY, other, one, **DRAW)
    assert turned["value"] == pytest.approx(-gap["value"])


def test_copies_are_one_piece_of_evidence() -> None:
    _, label = clouds(200, gap=0)
    one, other = judged(label, 0.7), judged(label, 0.5)
    alone = baselines.difference(ACCURACY, one, other, **DRAW)["ci95"]
    copies = np.arange(200) // 20 * 2 + label  # ten images a cluster, of one class
    clustered = [Judged(each.labels, each.probabilities, copies, each.classes) for each in (one, other)]
    together = baselines.difference(ACCURACY, clustered[0], clustered[1], **DRAW)["ci95"]
    assert together[1] - together[0] > 1.5 * (alone[1] - alone[0])


@pytest.mark.parametrize(("right", "other_right"), [(1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)])
def test_where_no_resample_differs_the_intervals_of_both_make_that_of_the_difference(
    right: float, other_right: float
) -> None:
    label = np.arange(20) % 2
    gap = baselines.difference(ACCURACY, judged(label, right), judged(label, other_right), **DRAW)
    (low, high), (other_low, other_high) = (intervals.wilson(share, 20) for share in (right, other_right))
    value = right - other_right
    below = np.hypot(right - low, other_high - other_right)
    above = np.hypot(high - right, other_right - other_low)
    assert gap["value"] == value
    assert gap["ci95"] == pytest.approx([value - below, value + above])


def test_a_difference_is_that_of_the_same_resamples() -> None:
    _, label = clouds(80, gap=0)
    one, other = judged(label, 0.8), judged(label, 0.5)
    for metric in ("accuracy", "log_loss", "macro_f1"):
        objective = Objective(metric=metric)
        gap = baselines.difference(objective, one, other, replicates=60, seed=5)
        first, second = (
            assessment.objective_replicates(objective, each, replicates=60, seed=5) for each in (one, other)
        )
        assert gap["ci95"] == pytest.approx(np.quantile(first - second, [0.025, 0.975]).tolist())
        assert gap["value"] == pytest.approx(
            assessment.objective_estimate(objective, one, **DRAW)["value"]
            - assessment.objective_estimate(objective, other, **DRAW)["value"]
        )


def test_a_difference_that_the_images_do_not_define_is_undefined() -> None:
    answers = judged(np.zeros(10, np.int64))
    objective = Objective(metric="recall", class_name="class 1")
    assert baselines.difference(objective, answers, answers, **DRAW) == intervals.undefined()


def test_the_largest_class_is_named_and_answered_always() -> None:
    _, truth = clouds(90, gap=0, classes=3)
    result = baselines.largest_class(ACCURACY, judged(truth, classes=3), np.array([0] * 5 + [2] * 20 + [1] * 6), **DRAW)
    assert result["class_name"] == "class 2"
    assert result["accuracy"]["value"] == pytest.approx(1 / 3, abs=1e-6)
    assert result["difference"]["value"] == pytest.approx(2 / 3, abs=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_every_objective_has_its_baselines(metric: str) -> None:
    objective = Objective(
        metric=metric,
        class_name="class 1" if metric == "recall" else "",
        costs={"class 0": {"class 1": 3.0}} if metric == "cost" else {},
    )
    train, label = clouds(120, gap=2)
    test, truth = clouds(60, gap=2, seed=1)
    for result in (
        baselines.linear(objective, judged(truth, 0.9), train, label, test, **DRAW),
        baselines.largest_class(objective, judged(truth, 0.9), label, **DRAW),
    ):
        low, high = result["difference"]["ci95"]
        assert low <= result["difference"]["value"] <= high
    curve = growth.curves(objective, train, label, test, judged(truth), weakest=["class 0"], seed=0)
    assert curve is not None
    assert curve["all"]["doubling"]["value"] < 1


def test_an_objective_that_the_images_do_not_define_has_no_baseline() -> None:
    train, label = clouds(120, gap=2)
    truth = np.zeros(60, np.int64)
    objective = Objective(metric="recall", class_name="class 1")
    result = baselines.linear(objective, judged(truth), train, label, train[:60], **DRAW)
    assert result["difference"] == {"value": None, "ci95": [None, None]}
    assert growth.curves(objective, train, label, train[:60], judged(truth), weakest=[], seed=0) is None


def test_a_curve_that_climbs_promises_more_than_one_that_is_flat() -> None:
    names = ["class 0", "class 1", "class 2"]
    hungry_train, hungry = clouds(120, gap=1.6, classes=3)
    fed_train, fed = clouds(6000, gap=1.6, classes=3)
    val, truth = clouds(3000, gap=1.6, classes=3, seed=1)
    answers = judged(truth, classes=3)
    climbing = growth.curves(ACCURACY, hungry_train, hungry, val, answers, weakest=names, seed=0)
    flat = growth.curves(ACCURACY, fed_train, fed, val, answers, weakest=names, seed=0)
    assert climbing is not None
    assert flat is not None
    assert climbing["all"]["objective"] == sorted(climbing["all"]["objective"])
    assert climbing["all"]["n"] == [30, 60, 120]
    assert climbing["all"]["doubling"]["ci95"][0] > 0.02
    assert flat["all"]["doubling"]["ci95"][1] < climbing["all"]["doubling"]["value"]
    assert abs(flat["all"]["doubling"]["value"]) < 0.02


def test_the_class_that_lacks_images_is_the_one_to_feed() -> None:
    train, label = clouds(1500, gap=2.5, classes=3)
    rare = np.flatnonzero(label == 2)[12:]
    train, label = np.delete(train, rare, axis=0), np.delete(label, rare)
    val, truth = clouds(1500, gap=2.5, classes=3, seed=1)
    curve = growth.curves(ACCURACY, train, label, val, judged(truth, classes=3), weakest=["class 2", "class 0"], seed=0)
    assert curve is not None
    assert curve["classes"]["class 2"]["n"] == [3, 6, 12]
    assert curve["classes"]["class 2"]["doubling"]["ci95"][0] > 0.05
    assert curve["classes"]["class 0"]["doubling"]["value"] < curve["classes"]["class 2"]["doubling"]["value"] / 3


@pytest.mark.parametrize(("n_train", "n_val"), [(30, 300), (300, 10)])
def test_too_few_images_tell_nothing(n_train: int, n_val: int) -> None:
    train, label = clouds(n_train, gap=1)
    val, truth = clouds(n_val, gap=1, seed=1)
    assert growth.curves(ACCURACY, train, label, val, judged(truth), weakest=["class 0"], seed=0) is None


def test_same_inputs_give_the_same_curve_and_another_seed_another() -> None:
    train, label = clouds(200, gap=1)
    val, truth = clouds(200, gap=1, seed=1)

    def curve(seed: int) -> Any:
        return growth.curves(ACCURACY, train, label, val, judged(truth), weakest=["class 1"], seed=seed)

    assert curve(0) == curve(0) != curve(1)


@given(st.lists(st.floats(1e-4, 1.0), min_size=3, max_size=3))
def test_no_doubling_removes_more_than_the_whole_error(errors: list[float]) -> None:
    share = float(growth.doubling(np.array(errors)))
    assert share < 1
    if errors[0] > 1.001 * errors[2]:
        assert share > 0


def test_scatters_add_up_to_the_covariance_and_none_is_nothing() -> None:
    images, label = clouds(50, gap=3)
    assert not linear.scatter(images[:0]).any()
    scatter = sum(linear.scatter(images[label == index]) for index in (0, 1))
    centred = images - np.stack([images[label == index].mean(axis=0) for index in (0, 1)])[label]
    np.testing.assert_allclose(scatter, centred.T @ centred, atol=1e-9)


def test_shrinkage_is_that_of_the_images_about_the_means_of_their_classes() -> None:
    from sklearn.covariance import ledoit_wolf

    images, label = clouds(90, gap=5, classes=3)
    images[:, 0] *= 3
    centred = images - np.stack([images[label == index].mean(axis=0) for index in range(3)])[label]
    shrink = linear.shrinkage(images, label, 3)
    assert 0 < shrink < 1
    assert shrink == pytest.approx(ledoit_wolf(centred, assume_centered=True)[1])
    # where the classes lie, and a class without images, change nothing
    assert linear.shrinkage(images + 7 * label[:, None], label, 3) == pytest.approx(shrink)
    assert linear.shrinkage(images, label, 5) == pytest.approx(shrink)


@pytest.mark.parametrize("even", [True, False])
@pytest.mark.parametrize("shrink", [0.0, 0.3, 1.0])
def test_the_linear_classifier_is_the_normal_one_of_a_common_covariance(even: bool, shrink: float) -> None:
    from scipy.stats import multivariate_normal

    images, label = clouds(90, gap=1, classes=2)
    images, label = images[:70, :3], np.where(np.arange(70) < 50, 0, label[:70])
    classes = [images[label == index] for index in (0, 1)]
    within = np.sum([linear.scatter(each) for each in classes], axis=0)
    fitted = linear.Linear.fit([linear.Moments.of(each) for each in classes], within, shrink=shrink, even=even)
    pooled = within / 70
    covariance = (1 - shrink) * pooled + shrink * np.eye(3) * np.trace(pooled) / 3
    prior = [0.5, 0.5] if even else [len(each) / 70 for each in classes]
    density = np.stack([multivariate_normal(each.mean(axis=0), covariance).pdf(images) for each in classes], axis=1)
    expected = density * prior
    np.testing.assert_allclose(fitted.predict(images), expected / expected.sum(axis=1, keepdims=True), atol=1e-6)


@pytest.mark.parametrize("even", [True, False])
def test_a_class_without_images_is_never_predicted(even: bool) -> None:
    images, label = clouds(40, gap=2)
    parts = [images[label == 0], images[:0], images[label == 1]]
    within = np.sum([linear.scatter(each) for each in parts], axis=0)
    fitted = linear.Linear.fit([linear.Moments.of(each) for each in parts], within, shrink=0.5, even=even)
    answers = fitted.predict(images)
    np.testing.assert_array_equal(answers[:, 1], 0)
    assert ((answers[:, 2] > 0.5) == (label == 1)).mean() > 0.8


def test_a_class_of_one_image_lies_at_that_image() -> None:
    parts = [np.array([[0.0, 0], [0, 2], [2, 0], [2, 2]]), np.array([[9.0, 9.0]])]
    within = np.sum([linear.scatter(each) for each in parts], axis=0)
    fitted = linear.Linear.fit([linear.Moments.of(each) for each in parts], within, shrink=0.0, even=True)
    middle = fitted.predict(np.array([[5.0, 5.0], [5.0, 5.01], [4.99, 5.0]]))
    assert middle[0] == pytest.approx([0.5, 0.5])
    assert middle[1:].argmax(axis=1).tolist() == [1, 0]


def test_equal_images_have_a_classifier() -> None:
    parts = [np.zeros((3, 2)), np.zeros((1, 2))]
    fitted = linear.Linear.fit([linear.Moments.of(each) for each in parts], np.zeros((2, 2)), shrink=0.0, even=False)
    assert fitted.predict(np.zeros((1, 2)))[0] == pytest.approx([0.75, 0.25])


def frame(sizes: dict[str, int], side: int) -> pd.DataFrame:
    labels = [name for name, n in sizes.items() for _ in range(n)]
    return pd.DataFrame({"label": labels, "width": side, "height": side})


def test_of_many_images_each_class_gives_its_share() -> None:
    rows = comparison.sampled(frame({"a": 50_000, "b": 9_990, "c": 10}, 28), "train", seed=0)
    assert 6_000 <= len(rows) <= 6_003
    assert list(rows) == sorted(rows)
    counts = frame({"a": 50_000, "b": 9_990, "c": 10}, 28)["label"].iloc[rows].value_counts()
    assert dict(counts) == {"a": 5000, "b": 999, "c": 1}
    assert len(comparison.sampled(frame({"a": 40, "b": 20}, 28), "train", seed=0)) == 60


def test_of_large_images_fewer_are_decoded() -> None:
    rows = comparison.sampled(frame({"a": 3_000, "b": 1_000}, 4_000), "train", seed=0)
    assert len(rows) * 4_000**2 <= comparison.PIXELS["train"] + 2 * 4_000**2
