"""Predictions: images in order, in batches of any size, original and under each perturbation."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from hallmark.contracts import progress, runtime
from hallmark.images import shards
from hallmark.judgement import prediction
from hallmark.judgement.robustness import Perturbation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray


class Means(torch.nn.Module):
    """The logits of an image are the means of its channels, doubled in training mode."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        assert not torch.is_grad_enabled()
        assert batch.dtype == torch.float32
        return batch.mean(dim=(2, 3)) * (2 if self.training else 1)


def png(value: int, *, height: int = 6, width: int = 4) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (width, height), (value, 2 * value, 0)).save(stream, "PNG")
    return stream.getvalue()


def drawn(n: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (n, 5, 7, 3)).astype(np.uint8)


@pytest.fixture(autouse=True)
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(runtime.DEVICE, "cpu")
    monkeypatch.setenv(runtime.WORKERS, "2")


@pytest.mark.parametrize(("size", "lengths"), [(1, [1] * 5), (2, [2, 2, 1]), (5, [5]), (9, [5])])
def test_batches_hold_the_images_in_order(size: int, lengths: list[int]) -> None:
    batches = list(prediction.batches(map(png, range(5)), height=6, width=4, channels=3, size=size))
    assert [len(batch) for batch in batches] == lengths
    whole = np.concatenate(batches)
    assert whole.shape == (5, 6, 4, 3)
    assert whole.dtype == np.uint8
    assert whole[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]


def test_batches_are_resized_and_converted() -> None:
    (batch,) = prediction.batches([png(10, height=20, width=30)], height=8, width=5, channels=1, size=4)
    assert batch.shape == (1, 8, 5, 1)


def test_batches_are_decoded_only_when_asked_for() -> None:
    read = []

    def encoded() -> Iterator[bytes]:
        for number in range(4):
            read.append(number)
            yield png(number)

    next(prediction.batches(encoded(), height=6, width=4, channels=3, size=2))
    assert read == [0, 1]


@pytest.mark.parametrize(("bits", "value"), [(16, 16), (12, 255)])
def test_deep_images_are_scaled_by_their_bits(bits: int, value: int) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.full((6, 4), 4095, dtype=np.uint16)).save(stream, "PNG")
    (batch,) = prediction.batches([stream.getvalue()], height=6, width=4, channels=1, size=1, bits=bits)
    assert batch[0, 0, 0, 0] == pytest.approx(value, abs=1)


@pytest.mark.parametrize("size", [1, 3, 10])
def test_logits_follow_the_images_whatever_the_batch_size(size: int) -> None:
    images = drawn(10)
    batches = [images[start : start + size] for start in range(0, 10, size)]
    changes = [Perturbation("noise", 0.2, 1), Perturbation("brightness", 0.3, 1)]
    plain, *changed = prediction.predict(Means(), batches, changes)
    assert plain.dtype == np.float64
    np.testing.assert_allclose(plain, (images / 255).mean(axis=(1, 2)), atol=1e-6)
    assert len(changed) == 2
    for logits, change in zip(changed, changes, strict=True):
        np.testing.assert_allclose(logits, change.apply(images, 0).mean(axis=(1, 2)), atol=1e-6)


def test_the_number_of_images_predicted_is_reported() -> None:
    heard: list[progress.Progress] = []
    with progress.listening(heard.append):
        prediction.predict(Means(), [drawn(3), drawn(2)])
    assert {report.what for report in heard} == {"predicting"}
    assert [report.done for report in heard][-1] in (3, 5)


def test_no_device_asked_for_is_the_accelerator_or_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(runtime.DEVICE)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (logits,) = prediction.predict(Means(), [drawn(2)])
    assert logits.shape == (2, 3)


@pytest.mark.parametrize(("shape", "value"), [({}, 16), ({"bits": 12}, 255)])
def test_stored_images_are_predicted_in_the_order_of_the_rows(
    tmp_path: Path, shape: dict[str, int], value: int
) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.full((6, 4), 4095, dtype=np.uint16)).save(stream, "PNG")
    shards.write(tmp_path, [("0.png", png(50)), ("1.png", png(100)), ("2.png", stream.getvalue())])
    images = pd.DataFrame({"shard": [0, 0, 0], "row": [2, 0, 1]})
    size = {"height": 6, "width": 4, "channels": 3}
    change = Perturbation("brightness", 0.1, 0)
    with shards.Reader(tmp_path) as reader:
        plain, changed = prediction.of_stored(Means(), reader, images, size | shape, size=2, perturbations=[change])
    assert plain[:, 0] * 255 == pytest.approx([value, 50, 100], abs=1)
    assert changed[1:] == pytest.approx(plain[1:] + 0.1, abs=1e-5)
