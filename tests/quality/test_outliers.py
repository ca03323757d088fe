from __future__ import annotations

import numpy as np
import pytest

from hallmark.quality.outliers import class_distances, distances, normal_threshold, strangeness, threshold


def test_distances_are_means_to_the_nearest_others() -> None:
    line = np.arange(10, dtype=np.float32)[:, None]
    score = distances(line, np.ones(10, bool))
    assert score[0] == pytest.approx((1 + 2 + 3 + 4 + 5) / 5)
    assert score[5] == pytest.approx((1 + 1 + 2 + 2 + 3) / 5)


def test_only_reference_rows_are_neighbours() -> None:
    line = np.array([[0.0], [1.0], [100.0]], np.float32)
    assert distances(line, np.array([True, True, False])).tolist() == [1.0, 1.0, 99.0]
    assert np.isinf(distances(line, np.array([True, False, False]))).all()


@pytest.mark.parametrize("seed", range(5))
def test_the_threshold_finds_strangers_and_spares_ordinary_images(seed: int) -> None:
    random = np.random.default_rng(seed)
    ordinary = random.normal(size=(2000, 12))
    strange = random.normal(size=(40, 12)) * 0.5 + 12 * random.choice([-1, 1], (40, 12))
    points = np.concatenate([ordinary, strange]).astype(np.float32)
    score = distances(points, np.ones(len(points), bool))
    # far ones among themselves are far too: they do not form a crowd of five
    result = np.log(score) > threshold(np.log(score), false_alarms=0.0003)
    assert result[2000:].mean() >= 0.95
    assert result[:2000].sum() <= 6


def test_too_few_images_have_no_threshold() -> None:
    assert threshold(np.ones(10), false_alarms=0.01) == np.inf


def test_a_clump_in_a_direction_that_hardly_varies_is_strange() -> None:
    random = np.random.default_rng(0)
    ordinary = random.normal(size=(1200, 8)) * np.array([10, 5, 3, 2, 1, 0.2, 0.2, 0.2])
    # six alike, far out only where the others hardly vary: five plain neighbours would be each other
    clump = random.normal(size=(6, 8)) * 0.01 + np.array([0, 0, 0, 0, 0, 8, 0, 0])
    kind = np.concatenate([ordinary, clump]).astype(np.float32)
    everyone = np.ones(len(kind), bool)
    score = strangeness([kind, kind[:, ::-1]], everyone)
    assert score[1200:].min() > score[:1200].max()
    assert np.isinf(strangeness([kind[:1]], everyone[:1])).all()


def test_alike_strangers_under_several_labels_are_outliers_and_a_wrong_label_is_none() -> None:
    random = np.random.default_rng(0)
    label = np.arange(300) % 3
    ordinary = 5 * np.eye(12)[label] + random.normal(size=(300, 12)) * 0.5
    clump = 5 * np.eye(12)[7] + random.normal(size=(18, 12)) * 0.01
    features = np.concatenate([ordinary, clump]).astype(np.float32)
    named = np.concatenate([label, np.arange(18) % 3])
    named[:10] = (named[:10] + 1) % 3
    everyone = np.ones(len(features), bool)
    score = class_distances(features, named, everyone)
    assert score[300:].min() > score[:300].max()
    assert (score[:10] < np.quantile(score[:300], 0.99)).all()


def test_only_classes_with_enough_reference_images_are_compared() -> None:
    features = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    label = np.array([0] * 5 + [1] * 7)
    assert np.isinf(class_distances(features, label, np.arange(12) < 5)).all()
    assert np.isfinite(class_distances(features, label, np.arange(12) >= 5)).all()


@pytest.mark.parametrize("share", [0.005, 0.02])
def test_the_normal_threshold_keeps_the_share_of_false_alarms_beside_outliers(share: float) -> None:
    random = np.random.default_rng(0)
    scores = np.concatenate([random.normal(2, 0.3, 20_000), np.full(100, 9.0)])
    found = scores > normal_threshold(scores, false_alarms=share)
    assert found[20_000:].all()
    assert 0.6 * share < found[:20_000].mean() < 1.1 * share
    assert normal_threshold(scores[:19], false_alarms=share) == np.inf
