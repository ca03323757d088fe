"""Near-copies of training images are detected; real unseen images are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from hallmark.synthesis import memorisation

if TYPE_CHECKING:
    from tests.synthesis.conftest import Digits


def noisy(images: np.ndarray, scale: float) -> np.ndarray:
    noise = np.random.default_rng(1).normal(scale=scale, size=images.shape)
    return np.clip(images + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("noise", [0.0, 4.0])
def test_a_generator_that_copies_is_refused(digits_split: Digits, noise: float) -> None:
    copies = noisy(digits_split.train[::3], noise)
    closeness = memorisation.measure(copies, digits_split.train, digits_split.val, quantile=0.01)
    assert closeness.copy.all()
    gate = memorisation.gate(closeness, max_copies=0.2)
    assert not gate.passed
    assert "are near-copies" in gate.reason
    assert gate.figures["near_copies"] == len(copies)
    assert gate.figures["probability_closer_than_held_out"] > 0.99


def test_unseen_real_images_are_no_copies(digits_split: Digits) -> None:
    closeness = memorisation.measure(digits_split.more, digits_split.train, digits_split.val, quantile=0.01)
    gate = memorisation.gate(closeness, max_copies=0.2)
    assert gate.passed
    assert gate.figures["near_copy_share"] < 0.05
    assert 0.4 < gate.figures["probability_closer_than_held_out"] < 0.6


def test_only_the_copies_among_others_are_marked(digits_split: Digits) -> None:
    mixed = np.concatenate([digits_split.more[:30], digits_split.train[5:8]])
    closeness = memorisation.measure(mixed, digits_split.train, digits_split.val, quantile=0.01)
    assert closeness.copy[30:].all()
    assert closeness.copy[:30].mean() < 0.1
    assert closeness.distance[30:].max() == 0.0
    assert memorisation.gate(closeness, max_copies=0.2).passed


def test_a_sharpened_copy_of_a_large_image_is_found() -> None:
    random = np.random.default_rng(0)
    smooth = np.repeat(np.repeat(random.integers(0, 256, (60, 8, 8, 3)), 8, axis=1), 8, axis=2).astype(np.uint8)
    train, other = smooth[:40], smooth[40:]
    copies = noisy(train[:10], 30.0)
    closeness = memorisation.measure(np.concatenate([copies, other]), train, other[:0], quantile=0.01)
    assert closeness.copy[:10].all()
    assert not closeness.copy[10:].any()
