from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from hallmark.quality import embedding, labels
from hallmark.statistics.components import Components

if TYPE_CHECKING:
    from numpy.typing import NDArray


@pytest.fixture(scope="module")
def digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    small = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    large = np.repeat(np.repeat(np.repeat(small, 4, axis=1), 4, axis=2)[..., None], 3, axis=3)
    shapes, looks = embedding.gradients(large), embedding.colours(large)
    both = embedding.join(Components.fit(shapes).of(shapes), Components.fit(looks).of(looks))
    return both, bunch.target.astype(np.int64)


def test_flipped_labels_are_found(digits: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    features, true = digits
    random = np.random.default_rng(0)
    label = true.copy()
    flipped = random.random(len(label)) < 0.04
    label[flipped] = (label[flipped] + random.integers(1, 10, flipped.sum())) % 10
    fold = labels.folds(np.arange(len(label)), label, random.random(len(label)), 5)
    model, probabilities = labels.fit(features, label, fold, 10)
    assert probabilities.sum(axis=1) == pytest.approx(1)
    result = labels.find_issues(label, probabilities, evidence=15)
    assert (result & flipped).sum() / flipped.sum() >= 0.9
    assert (result & flipped).sum() / result.sum() >= 0.9
    assert abs(labels.estimated_errors(label, probabilities) - flipped.sum()) < 0.5 * flipped.sum()
    quality = labels.label_quality(label, probabilities)
    assert quality[flipped].mean() < 0.2 < 0.8 < quality[~flipped].mean()
    assert (model.predict(features).argmax(axis=1) == true).mean() > 0.97


def test_a_rare_class_is_not_doubted_for_being_rare(digits: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
    features, true = digits
    random = np.random.default_rng(0)
    # long-tailed: 170 images of the digit 0 down to 5 of the digit 9
    kept = np.concatenate(
        [random.permutation(np.flatnonzero(true == digit))[: round(170 * 0.67**digit)] for digit in range(10)]
    )
    features, true = features[kept], true[kept]
    wrong = np.zeros(len(true), bool)
    # images of common classes under a rare one's label
    wrong[random.permutation(np.flatnonzero(true <= 2))[:12]] = True
    label = np.where(wrong, 9, true)
    fold = labels.folds(np.arange(len(label)), label, random.random(len(label)), 5)
    _, probabilities = labels.fit(features, label, fold, 10)
    count = np.bincount(label, minlength=10)
    result = labels.find_issues(label, probabilities, evidence=15)
    rarity = labels.doubted_for_rarity(label, probabilities, count, evidence=15)
    assert not (rarity & ~result).any()
    assert (result & ~wrong).sum() >= 2 * (result & ~rarity & ~wrong).sum() > 0, (
        "rare classes' images are still removed"
    )
    assert (result & ~rarity & wrong).sum() >= 0.7 * wrong.sum(), "wrong labels among the rare are no longer removed"
    even = np.full(10, 50)
    assert not labels.doubted_for_rarity(label, probabilities, even, evidence=15).any()


def test_beyond_the_centres_the_fit_still_holds(
    digits: tuple[NDArray[np.float32], NDArray[np.int64]], monkeypatch: pytest.MonkeyPatch
) -> None:
    features, true = digits
    monkeypatch.setattr(labels, "_CENTRES", 300)
    fold = labels.folds(np.arange(len(true)), true, np.arange(len(true), dtype=float), 5)
    model, probabilities = labels.fit(features, true, fold, 10)
    assert len(model.centres) <= 300
    assert (probabilities.argmax(axis=1) == true).mean() > 0.93


def test_copies_share_a_fold_and_classes_are_dealt_evenly() -> None:
    random = np.random.default_rng(0)
    unit = random.integers(0, 100, 300)
    label = unit % 3
    fold = labels.folds(unit, label, random.random(300), 5)
    for number in np.unique(unit):
        assert len(set(fold[unit == number])) == 1
    counts = np.array([[len(set(unit[(fold == f) & (label == c)])) for c in range(3)] for f in range(5)])
    assert counts.max() - counts.min() <= 2


def test_a_class_that_does_not_occur_is_no_obstacle() -> None:
    probabilities = np.array([[0.9, 0.05, 0.05], [0.01, 0.01, 0.98], [0.98, 0.01, 0.01], [0.1, 0.1, 0.8]])
    label = np.array([0, 0, 0, 2])
    assert labels.find_issues(label, probabilities, evidence=15).tolist() == [False, True, False, False]
    assert labels.estimated_errors(label, probabilities) >= 0
    assert labels.label_quality(np.zeros(0, np.int64), np.zeros((0, 3))).shape == (0,)


def test_a_label_is_doubted_past_the_evidence_and_not_at_it() -> None:
    probabilities = np.array([[0.0625, 0.9375], [0.0625, 0.93], [0.0625, 0.94], [0.9, 0.1]])
    assert labels.find_issues(np.zeros(4, np.int64), probabilities, evidence=15).tolist() == [False, False, True, False]
    assert labels.find_issues(np.zeros(0, np.int64), np.zeros((0, 2)), evidence=15).shape == (0,)


def test_only_what_even_priors_would_not_doubt_is_doubted_for_rarity() -> None:
    # fitted on 100 images of one class and 2 of the other: under even priors a probability of 0.04 counts as 0.67
    probabilities = np.array([[0.96, 0.04], [0.9999, 0.0001], [0.5, 0.5]])
    rare = np.ones(3, np.int64)
    rarity = labels.doubted_for_rarity(rare, probabilities, np.array([100, 2]), evidence=15)
    assert rarity.tolist() == [True, False, False]
    # a class without any image counts as one of a single image
    assert labels.doubted_for_rarity(rare, probabilities, np.array([100, 0]), evidence=15).tolist() == [
        True,
        False,
        False,
    ]


def test_calibration_makes_probabilities_as_sure_as_they_are_right() -> None:
    random = np.random.default_rng(0)
    honest = random.dirichlet(np.ones(3), 4000)
    label = np.array([random.choice(3, p=row) for row in honest])
    sharp = honest**3 / (honest**3).sum(axis=1, keepdims=True)
    calibrated = labels.calibrated(sharp, label)
    assert calibrated.sum(axis=1) == pytest.approx(1)
    assert np.abs(calibrated - honest).mean() < 0.02 < np.abs(sharp - honest).mean()
    assert (calibrated.argmax(axis=1) == sharp.argmax(axis=1)).all()
    sure = labels.calibrated(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]), np.array([0, 1, 1]))
    assert np.isfinite(sure).all(), "a probability of nothing has a logarithm"


def test_the_classifier_predicts_new_images_as_it_does_its_own_and_none_as_none() -> None:
    random = np.random.default_rng(0)
    label = np.arange(60) % 3
    features = (np.eye(3)[label] * 2 + random.normal(size=(60, 3))).astype(np.float32)
    model, outside = labels.fit(features, label, np.arange(60) % 4, 3)
    inside = model.predict(features)
    assert inside.shape == outside.shape == (60, 3)
    assert inside.sum(axis=1) == pytest.approx(1)
    assert (inside.argmax(axis=1) == label).mean() > 0.85
    assert np.log(inside[np.arange(60), label]).mean() > np.log(outside[np.arange(60), label]).mean()
    assert model.predict(features[:0]).shape == (0, 3)
    assert model.predict(np.full((1, 3), 1e3, np.float32))[0] == pytest.approx([1 / 3] * 3), "far from all: the prior"
    assert model.prior == pytest.approx([1 / 3] * 3)


def test_an_image_s_own_label_has_no_say_in_its_out_of_fold_probability() -> None:
    random = np.random.default_rng(1)
    label = np.arange(40) % 2
    features = (label[:, None] * 3 + random.normal(size=(40, 2))).astype(np.float32)
    fold = np.arange(40) // 10
    _, before = labels.fit(features, label, fold, 2)
    wrong = label.copy()
    wrong[0] = 1 - wrong[0]
    _, after = labels.fit(features, wrong, fold, 2)
    assert before[0].argmax() == after[0].argmax() == label[0]


def test_folds_are_dealt_by_the_order_asked_for() -> None:
    unit = np.arange(8)
    label = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    order = np.array([0.4, 0.1, 0.3, 0.2, 0.8, 0.9, 0.7, 0.6])
    assert labels.folds(unit, label, order, 4).tolist() == [3, 0, 2, 1, 2, 3, 1, 0]
    assert labels.folds(unit, label, order, 3).tolist() == [0, 0, 2, 1, 0, 1, 2, 1]


def test_quality_is_the_margin_between_the_label_and_the_best_other() -> None:
    probabilities = np.array([[0.8, 0.1, 0.1], [0.2, 0.5, 0.3]])
    assert labels.label_quality(np.array([0, 0]), probabilities) == pytest.approx([(0.7 + 1) / 2, (-0.3 + 1) / 2])


def test_errors_are_counted_over_the_classes_that_occur() -> None:
    # a confident classifier disagrees with 3 labels of 30; class 1 has no image
    label = np.repeat([0, 2], 15)
    guess = np.where(np.arange(30) % 10 == 0, 2 - label, label)
    probabilities = np.full((30, 3), 0.02)
    probabilities[np.arange(30), guess] = 0.96
    assert labels.estimated_errors(label, probabilities) == 3
    # all of the probability on the absent class says nothing about the others
    probabilities[3] = [0, 1, 0]
    assert labels.estimated_errors(label, probabilities) >= 3


@pytest.mark.parametrize("digits_of_doubt", [6, 8, 12])
def test_confident_mistakes_make_probabilities_milder(digits_of_doubt: int) -> None:
    random = np.random.default_rng(0)
    label = random.integers(0, 3, 400)
    predicted = np.where(random.random(400) < 0.1, (label + 1) % 3, label)
    probabilities = np.full((400, 3), 10.0**-digits_of_doubt)
    probabilities[np.arange(400), predicted] = 1 - 2 * 10.0**-digits_of_doubt
    calibrated = labels.calibrated(probabilities, label)
    assert calibrated.max(axis=1).mean() == pytest.approx((predicted == label).mean(), abs=0.05)
