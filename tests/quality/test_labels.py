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
    found = labels.find_issues(label, probabilities, evidence=15)
    assert (found & flipped).sum() / flipped.sum() >= 0.9
    assert (found & flipped).sum() / found.sum() >= 0.9
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
    found = labels.find_issues(label, probabilities, evidence=15)
    rarity = labels.doubted_for_rarity(label, probabilities, count, evidence=15)
    assert not (rarity & ~found).any()
    assert (found & ~wrong).sum() >= 2 * (found & ~rarity & ~wrong).sum() > 0, "rare classes' images are still removed"
    assert (found & ~rarity & wrong).sum() >= 0.7 * wrong.sum(), "wrong labels among the rare are no longer removed"
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
