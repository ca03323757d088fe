"""The baseline for tiny data: images between those of a class, none of them a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hallmark.synthesis import faithfulness, memorisation
from hallmark.synthesis.mixing import LatentMixup

if TYPE_CHECKING:
    from tests.synthesis.conftest import Digits


def test_mixtures_show_their_class_and_copy_nothing(digits_split: Digits) -> None:
    asked = np.repeat(np.arange(5), 20)
    generator = LatentMixup(digits_split.train, digits_split.labels)
    made = generator(asked, seed=0)
    assert made.shape == (100, 8, 8, 1)
    close = memorisation.measure(made, digits_split.train, digits_split.val, quantile=0.01)
    assert close.copy.mean() < 0.2
    found = faithfulness.measure(
        made, asked, digits_split.train, digits_split.labels, digits_split.val, digits_split.truth
    )
    assert found.agrees.mean() > 0.9
    assert np.array_equal(made, generator(asked, seed=0))
    assert not np.array_equal(made, generator(asked, seed=1))


def test_two_images_are_enough() -> None:
    images = np.array([[[[0]]], [[[100]]]], dtype=np.uint8)
    made = LatentMixup(images, np.zeros(2, dtype=np.int64))(np.zeros(10, dtype=np.int64), seed=0)
    assert 20 < made.min() <= made.max() < 80
