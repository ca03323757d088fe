"""The trained generator: recognisable classes, reproducible runs, and a bit-identical result after a kill."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from hallmark.learning.checkpoints import Checkpoints
from hallmark.synthesis import parallel, training
from hallmark.synthesis.presets import Preset

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hallmark.synthesis.generator import Images, Labels
    from tests.synthesis.conftest import Digits

SMALL = Preset(steps=0, batch=16, width=16, blocks=1, sampling_steps=4, learning_rate=3e-3, ema=0.9)


class Killed(Exception):
    """Simulates the end of the process."""


class Mortal(Checkpoints):
    """Dies right after the second checkpoint."""

    saved = 0

    def save(self, state: Mapping[str, Any], *, finished: bool = False) -> None:
        super().save(state, finished=finished)
        self.saved += 1
        if self.saved == 2:
            raise Killed


def fit(images: Images, labels: Labels, *, steps: int, checkpoints: Checkpoints | None = None) -> training.FlowMatching:
    return training.train(
        images, labels, classes=5, preset=SMALL, steps=steps, guidance=1.5, seed=0, checkpoints=checkpoints,
        machine=parallel.machine(),
    )  # fmt: skip


def test_a_killed_training_ends_in_the_same_images(digits_split: Digits, tmp_path: Path) -> None:
    labels = np.array([0, 1, 2, 3, 4], dtype=np.int64)
    state = torch.get_rng_state()
    whole = fit(digits_split.train, digits_split.labels, steps=24)(labels, seed=1)
    with pytest.raises(Killed):
        fit(digits_split.train, digits_split.labels, steps=24, checkpoints=Mortal(tmp_path, "one", steps=8))
    taken_up = Checkpoints(tmp_path, "one", steps=8)
    saved = taken_up.load()
    assert saved is not None
    assert saved["step"] == 16
    again = fit(digits_split.train, digits_split.labels, steps=24, checkpoints=taken_up)(labels, seed=1)
    assert np.array_equal(whole, again)
    # the finished training is taken from its file as it is
    finished = fit(digits_split.train, digits_split.labels, steps=24, checkpoints=Checkpoints(tmp_path, "one"))
    assert np.array_equal(whole, finished(labels, seed=1))
    assert not np.array_equal(whole, finished(labels, seed=2))
    assert torch.equal(state, torch.get_rng_state()), "the global generator was touched"


def test_it_learns_what_a_class_looks_like(digits_split: Digits) -> None:
    """Bright and dark images: two classes that are separable after a few steps."""
    images = np.concatenate([np.full((20, 8, 8, 3), 30), np.full((20, 8, 8, 3), 220)]).astype(np.uint8)
    images += np.random.default_rng(0).integers(0, 20, images.shape, dtype=np.uint8)
    generator = fit(images, np.repeat(np.array([0, 1]), 20), steps=80)
    drawn = generator(np.array([0, 0, 1, 1]), seed=0)
    assert drawn.shape == (4, 8, 8, 3)
    assert drawn.dtype == np.uint8
    assert drawn[:2].mean() < 90
    assert drawn[2:].mean() > 170


def test_the_digest_stands_for_pixels_labels_and_shape(digits_split: Digits) -> None:
    images, labels = digits_split.train[:4], digits_split.labels[:4]
    digests = {
        training.digest(images, labels),
        training.digest(images, labels + 1),
        training.digest(images + np.uint8(1), labels),
        training.digest(images.reshape(4, 4, 16, 1), labels),
    }
    assert len(digests) == 4


def test_any_number_of_workers_gives_the_same_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images large enough for parallel parts."""
    images = np.random.default_rng(0).integers(0, 256, (12, 20, 20, 1), dtype=np.uint8)
    assert training.parts_of(20, 20) > 1
    drawn = []
    for workers in ("1", "3"):
        monkeypatch.setenv("HALLMARK_WORKERS", workers)
        generator = fit(images, np.arange(12, dtype=np.int64) % 5, steps=4)
        drawn.append(generator(np.arange(70, dtype=np.int64) % 5, seed=0))
    assert drawn[0].shape == (70, 20, 20, 1)
    assert np.array_equal(drawn[0], drawn[1])
