from __future__ import annotations

import numpy as np
import pytest

from hallmark.quality.outliers import distances, strangeness, threshold


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
    result = np.log(score) > threshold(np.log(score), false_alarms=0.5)
    assert result[2000:].mean() >= 0.95
    assert result[:2000].sum() <= 6


def test_too_few_images_have_no_threshold() -> None:
    assert threshold(np.ones(10), false_alarms=0.5) == np.inf


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
