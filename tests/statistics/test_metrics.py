from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from hallmark.contracts.errors import InputError
from hallmark.judgement.objective import Objective, describe, score
from hallmark.statistics import metrics

CLASSES = ["a", "b", "c", "d"]


def drawn(n: int = 300, k: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, k, n)
    logits = generator.normal(size=(n, k)) + 1.5 * np.eye(k)[labels]
    odds = np.exp(logits)
    return labels, odds / odds.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(3))
def test_objectives_agree_with_scikit_learn(seed: int) -> None:
    labels, probabilities = drawn(seed=seed)
    predicted = probabilities.argmax(axis=1)
    expected = {
        "accuracy": reference.accuracy_score(labels, predicted),
        "balanced_accuracy": reference.balanced_accuracy_score(labels, predicted),
        "macro_f1": reference.f1_score(labels, predicted, average="macro"),
        "auroc": reference.roc_auc_score(labels, probabilities, multi_class="ovr"),
        "log_loss": -reference.log_loss(labels, probabilities),
    }
    for metric, value in expected.items():
        assert score(Objective(metric=metric), labels, probabilities, CLASSES) == pytest.approx(value)
    recall = reference.recall_score(labels, predicted, average=None)[2]
    assert score(Objective(metric="recall", class_name="c"), labels, probabilities, CLASSES) == pytest.approx(recall)


def test_macro_f1_counts_a_class_only_predicted() -> None:
    labels, predicted = np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1])
    counts = metrics.Counts.of(labels, predicted, 4)
    expected = reference.f1_score(labels, predicted, average="macro")
    assert float(counts.macro_f1()) == pytest.approx(expected)
    assert float(counts.balanced_accuracy()) == pytest.approx(0.75)
    assert np.isnan(counts.recall()[2])
    assert np.isnan(counts.precision()[3])


def test_weighted_counts_equal_repeated_rows() -> None:
    labels, probabilities = drawn(60)
    predicted = probabilities.argmax(axis=1)
    weights = np.random.default_rng(1).integers(0, 3, (2, 60)).astype(np.float64)
    together = metrics.Counts.of(labels, predicted, 4, weights)
    auroc = metrics.weighted_auroc(labels, probabilities, weights)
    for replicate in range(2):
        rows = np.repeat(np.arange(60), weights[replicate].astype(int))
        alone = metrics.Counts.of(labels[rows], predicted[rows], 4)
        np.testing.assert_allclose(together.hits[replicate], alone.hits)
        np.testing.assert_allclose(together.macro_f1()[replicate], alone.macro_f1())
        assert auroc[replicate] == pytest.approx(metrics.auroc(labels[rows], probabilities[rows]))


def test_auroc_with_ties_agrees_with_scikit_learn() -> None:
    labels = np.array([0, 1, 0, 1, 1])
    positive = np.array([0.2, 0.2, 0.5, 0.5, 0.9])
    probabilities = np.stack([1 - positive, positive], axis=1)
    assert metrics.auroc(labels, probabilities) == pytest.approx(reference.roc_auc_score(labels, positive))


def test_confusion_agrees_with_scikit_learn() -> None:
    labels, probabilities = drawn()
    predicted = probabilities.argmax(axis=1)
    np.testing.assert_array_equal(
        metrics.confusion(labels, predicted, 4), reference.confusion_matrix(labels, predicted, labels=range(4))
    )


def test_ece_by_hand() -> None:
    confidence = np.array([0.6, 0.6, 0.9, 0.9])
    right = np.array([True, False, True, True])
    bins = metrics.bins_of(confidence, 2)
    assert bins.tolist() == [0, 0, 1, 1]
    assert float(metrics.ece(confidence, right, bins)[0]) == pytest.approx(0.5 * 0.1 + 0.5 * 0.1)


def test_bins_hold_equal_mass_and_keep_ties_together() -> None:
    spread = metrics.bins_of(np.random.default_rng(0).random(1500))
    assert np.bincount(spread).tolist() == [100] * 15
    assert len(set(metrics.bins_of(np.ones(40)).tolist())) == 1


def test_cost_weighs_the_named_mistakes() -> None:
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.1, 0.9]])
    objective = Objective(metric="cost", costs={"sick": {"well": 10.0}})
    assert score(objective, labels, probabilities, ["sick", "well"]) == pytest.approx(-(10 + 1) / 4)


def test_objective_refuses_what_it_cannot_measure() -> None:
    labels, probabilities = np.array([0, 0]), np.array([[0.5, 0.5], [0.9, 0.1]])
    with pytest.raises(InputError, match=r"^metric is 'acuracy'; did you mean 'accuracy'"):
        Objective(metric="acuracy")
    with pytest.raises(InputError, match=r"^class_name is empty"):
        Objective(metric="recall")
    with pytest.raises(InputError, match=r"^costs is empty"):
        Objective(metric="cost")
    with pytest.raises(InputError, match="no image of the class 'b'"):
        score(Objective(metric="recall", class_name="b"), labels, probabilities, ["a", "b"])
    with pytest.raises(InputError, match="the class 'x'"):
        score(Objective(metric="recall", class_name="x"), labels, probabilities, ["a", "b"])
    with pytest.raises(InputError, match="two classes"):
        score(Objective(metric="auroc"), labels, probabilities, ["a", "b"])
    with pytest.raises(InputError, match="at least one image"):
        score(Objective(metric="accuracy"), labels[:0], probabilities[:0], ["a", "b"])


def test_objective_is_described_in_words() -> None:
    assert describe(Objective(metric="balanced_accuracy")) == "balanced accuracy"


def test_superiority_is_the_auc() -> None:
    random = np.random.default_rng(0)
    one, other = random.integers(0, 9, 40) + 1.0, random.integers(0, 9, 30).astype(np.float64)
    wanted = np.mean([(a > b) + (a == b) / 2 for a in one for b in other])
    assert metrics.superiority(one, other) == pytest.approx(wanted)
    assert metrics.superiority(one, other) + metrics.superiority(other, one) == pytest.approx(1.0)


def test_rates_of_each_class_agree_with_scikit_learn() -> None:
    labels, probabilities = drawn(90)
    predicted = probabilities.argmax(axis=1)
    counts = metrics.Counts.of(labels, predicted, 4)
    precision, recall, f1, support = reference.precision_recall_fscore_support(labels, predicted)
    np.testing.assert_allclose(counts.precision(), precision)
    np.testing.assert_allclose(counts.recall(), recall)
    np.testing.assert_allclose(counts.f1(), f1)
    np.testing.assert_array_equal(counts.actual, support)
    assert all(each.dtype == np.float64 for each in (counts.hits, counts.actual, counts.predicted))


def test_every_rate_of_weighted_rows_is_that_of_repeated_rows() -> None:
    labels, probabilities = drawn(40)
    predicted = probabilities.argmax(axis=1)
    labels[labels == 3] = 0  # a class that is only predicted
    weights = np.random.default_rng(1).integers(0, 3, (3, 40)).astype(np.float64)
    together = metrics.Counts.of(labels, predicted, 5, weights)
    for replicate in range(3):
        rows = np.repeat(np.arange(40), weights[replicate].astype(int))
        alone = metrics.Counts.of(labels[rows], predicted[rows], 5)
        for rate in ("accuracy", "recall", "precision", "f1", "balanced_accuracy", "macro_f1"):
            np.testing.assert_allclose(getattr(together, rate)()[replicate], getattr(alone, rate)(), err_msg=rate)


def test_rates_of_no_image_are_undefined() -> None:
    counts = metrics.Counts.of(np.zeros(0, int), np.zeros(0, int), 2)
    for rate in ("accuracy", "recall", "precision", "f1", "balanced_accuracy", "macro_f1"):
        assert np.isnan(getattr(counts, rate)()).all(), rate


def test_the_loss_of_an_impossible_answer_is_finite() -> None:
    losses = metrics.log_losses(np.array([0, 1, 1]), np.array([[1.0, 0.0], [1.0, 0.0], [0.5, 0.5]]))
    assert losses == pytest.approx([0, -np.log(np.finfo(np.float64).eps), np.log(2)])
    assert metrics.log_losses(np.array([0]), np.array([[1 + 1e-6, 0]]))[0] == 0
    assert metrics.log_losses(np.array([0]), np.array([[0.25, 0.75]], np.float32)).dtype == np.float64


def test_auroc_counts_the_classes_that_have_both_sides() -> None:
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.8, 0.1, 0.1], [0.3, 0.4, 0.3], [0.2, 0.7, 0.1], [0.4, 0.5, 0.1]])
    first, second = (reference.roc_auc_score(labels == index, probabilities[:, index]) for index in (0, 1))
    assert metrics.auroc(labels, probabilities) == pytest.approx((first + second) / 2)
    assert metrics.auroc(labels * 0, probabilities) is None
    weights = np.array([[1.0, 1, 1, 1], [1, 2, 0, 0], [0, 3, 1, 0]])
    weighted = metrics.weighted_auroc(labels, probabilities, weights)
    assert weighted[0] == pytest.approx((first + second) / 2)
    assert np.isnan(weighted[1])
    assert weighted[2] == pytest.approx(1.0)


def test_weighted_auroc_of_one_image_in_each_level() -> None:
    # the last level is of the first image: the number of levels does not follow from the last row
    labels, probabilities = np.array([1, 0, 0]), np.array([[0.1, 0.9], [0.8, 0.2], [0.7, 0.3]])
    assert metrics.weighted_auroc(labels, probabilities, np.ones((1, 3))).tolist() == [1.0]


def test_weighted_auroc_counts_ties_half() -> None:
    labels = np.array([0, 1, 0, 1, 1])
    positive = np.array([0.2, 0.2, 0.5, 0.5, 0.9])
    probabilities = np.stack([1 - positive, positive], axis=1)
    weights = np.array([[1.0, 1, 1, 1, 1], [2, 1, 1, 3, 1]])
    for value, weight in zip(metrics.weighted_auroc(labels, probabilities, weights), weights, strict=True):
        assert value == pytest.approx(reference.roc_auc_score(labels, positive, sample_weight=weight))


def test_confusion_has_a_row_and_a_column_for_each_class() -> None:
    table = metrics.confusion(np.array([0, 0, 1]), np.array([0, 1, 0]), 3)
    assert table.tolist() == [[1, 1, 0], [1, 0, 0], [0, 0, 0]]
    assert table.dtype == np.int64


def test_few_images_have_a_bin_each_and_none_none() -> None:
    assert metrics.bins_of(np.array([0.3, 0.9, 0.5])).tolist() == [0, 2, 1]
    assert metrics.bins_of(np.array([0.3, 0.9, 0.3, 0.9]), 4).tolist() == [0, 2, 0, 2]
    assert metrics.bins_of(np.zeros(0)).tolist() == []
    assert metrics.bins_of(np.linspace(0, 1, 7), 3).tolist() == [0, 0, 0, 1, 1, 2, 2]


def test_weighted_ece_is_that_of_repeated_rows_in_the_same_bins() -> None:
    random = np.random.default_rng(0)
    confidence, right = random.random(60), random.random(60) < 0.5
    bins = metrics.bins_of(confidence, 4)
    weights = random.integers(0, 4, (3, 60)).astype(np.float64)
    values = metrics.ece(confidence, right, bins, weights)
    assert values.shape == (3,)
    for value, counts in zip(values, weights, strict=True):
        rows = np.repeat(np.arange(60), counts.astype(int))
        gap = [abs((confidence[rows] - right[rows])[bins[rows] == index].sum()) for index in range(4)]
        assert value == pytest.approx(sum(gap) / len(rows))
    assert metrics.ece(confidence.astype(np.float32), right, bins).dtype == np.float64
