"""The baseline for tiny data: images between those of a class, none of them a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hallmark.synthesis import faithfulness, memorisation
from hallmark.synthesis.mixing import LatentMixup

if TYPE_CHECKING:
    from tests.synthesis.conftest import Digits


def test_mixtures_show_their_class_and_copy_nothing(digits_split: Digits) -> None:
    labels = np.repeat(np.arange(5), 20)
    generator = LatentMixup(digits_split.train, digits_split.labels)
    images = generator(labels, seed=0)
    assert images.shape == (100, 8, 8, 1)
    close = memorisation.measure(images, digits_split.train, digits_split.val, quantile=0.01)
    assert close.copy.mean() < 0.2
    agreement = faithfulness.measure(
        images, labels, digits_split.train, digits_split.labels, digits_split.val, digits_split.truth
    )
    assert agreement.agrees.mean() > 0.9
    assert np.array_equal(images, generator(labels, seed=0))
    assert not np.array_equal(images, generator(labels, seed=1))


def test_two_images_are_enough() -> None:
    images = np.array([[[[0]]], [[[100]]]], dtype=np.uint8)
    images = LatentMixup(images, np.zeros(2, dtype=np.int64))(np.zeros(10, dtype=np.int64), seed=0)
    assert 20 < images.min() <= images.max() < 80
