"""The judge classifies real digits, small colour images and images larger than its thumbnail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from hallmark.transforms.judge import Judge, describe

if TYPE_CHECKING:
    from tests.transforms.conftest import Digits


def test_it_reads_digits(digits: Digits) -> None:
    judge = Judge(digits.train, digits.train_labels)
    assert np.mean(judge(digits.val) == digits.val_labels) > 0.9


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 3), (8, 8, 1), (40, 24, 3)], ids=str)
def test_features_are_finite_for_any_shape(shape: tuple[int, int, int]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, *shape), dtype=np.uint8)
    features = describe(np.concatenate([images, np.zeros_like(images)]))
    assert features.shape[0] == 14
    assert features.dtype == np.float32
    assert np.isfinite(features).all()


def test_colour_counts() -> None:
    images = np.zeros((40, 12, 12, 3), dtype=np.uint8)
    images[:20, :, :, 0], images[20:, :, :, 1] = 200, 200
    labels = np.repeat([0, 1], 20)
    assert (Judge(images, labels)(images) == labels).all()
