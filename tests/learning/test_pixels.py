"""Images decoded once into an array: order, memory, statistics."""

from __future__ import annotations

import os
import signal
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hallmark.contracts import processes
from hallmark.contracts.errors import InputError, MachineError
from hallmark.images import shards
from hallmark.images.decoding import prepare
from hallmark.learning import pixels
from hallmark.learning.pixels import Item
from tests.learning.workspace import png

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import ProcessPoolExecutor
    from pathlib import Path


def stored(folder: Path, images: list[np.ndarray[Any, Any]]) -> list[Item]:
    folder.mkdir()
    encoded = [png(image) for image in images]
    places = shards.write(folder, [(f"{number}.png", data) for number, data in enumerate(encoded)])
    return [Item(folder, place.shard, place.row, str(hash(data)), f"{n}.png")
            for n, (place, data) in enumerate(zip(places, encoded, strict=True))]  # fmt: skip


# a thread, threads, processes
@pytest.mark.parametrize(("side", "worth_processes"), [(10, 6), (90, 6), (10, 5)])
def test_pixels_are_prepared_once_in_the_order_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int, worth_processes: int
) -> None:
    monkeypatch.setenv("HALLMARK_WORKERS", "2")
    monkeypatch.setattr(pixels, "WORTH_PROCESSES", worth_processes)
    monkeypatch.setattr(pixels, "CHUNK", 2)
    started = []
    pool = processes.pool

    def counted(workers: int) -> ProcessPoolExecutor:
        started.append(workers)
        return pool(workers)

    monkeypatch.setattr(processes, "pool", counted)
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 256, (side, side + 2), dtype=np.uint8) for _ in range(5)]
    items = stored(tmp_path / "shards", images)[::-1]
    path = pixels.prepared(items, height=6, width=6, channels=1, bits=16, cache=tmp_path / "cache")
    array = pixels.opened(path)
    for image, row in zip(images[::-1], array, strict=True):
        np.testing.assert_array_equal(row, prepare(png(image), 6, 6, 1))
    monkeypatch.setattr(pixels, "_decoded", lambda *_: pytest.fail("decoded again"))
    assert pixels.prepared(items, height=6, width=6, channels=1, bits=16, cache=tmp_path / "cache") == path
    assert [file.name for file in (tmp_path / "cache").iterdir()] == [path.name]
    assert started == [2] * (worth_processes == 5)


@pytest.mark.parametrize(("side", "worth_processes"), [(10, 6), (90, 6), (10, 5)])
def test_an_image_that_turned_bad_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int, worth_processes: int
) -> None:
    monkeypatch.setattr(pixels, "WORTH_PROCESSES", worth_processes)
    whole = [png(np.random.default_rng(0).integers(0, 256, (side, side), dtype=np.uint8))] * 4
    places = shards.write(tmp_path, [(str(number), data) for number, data in enumerate([*whole, whole[0][:-30]])])
    items = [Item(tmp_path, place.shard, place.row, str(n), f"{n}.png") for n, place in enumerate(places)]
    with pytest.raises(InputError, match=r"'4\.png' cannot be decoded \(truncated"):
        pixels.prepared(items, height=6, width=6, channels=1, bits=16, cache=tmp_path / "cache")


def test_a_decoding_process_that_is_killed_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "WORTH_PROCESSES", 1)
    monkeypatch.setattr(pixels, "_attempted", _killed)
    items = stored(tmp_path / "shards", [np.zeros((9, 9), np.uint8)])
    with pytest.raises(MachineError, match="a process that decodes images was ended"):
        pixels.survey(items)


def _killed(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("size", [10, pixels.WORTH_THREADS])  # a thread, threads
def test_few_encoded_images_are_held_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    held: list[int] = [0]

    class Encoded(bytes):
        def __del__(self) -> None:
            held[0] -= 1

    def encoded(items: list[Item]) -> Iterator[tuple[Item, bytes]]:
        for item in items:
            held[0] += 1
            yield item, Encoded(size)

    monkeypatch.setenv("HALLMARK_WORKERS", "2")
    monkeypatch.setattr(pixels, "_encoded", encoded)
    items = [Item(tmp_path, 0, row, "", "") for row in range(100)]
    seen = [held[0] for _ in pixels._decoded(items, lambda _: np.zeros(1))]
    assert len(seen) == 100
    assert max(seen) <= pixels.PEEKED + 2
    assert max(seen[pixels.PEEKED :]) <= 8


def test_a_survey_sees_sides_and_colour(tmp_path: Path) -> None:
    grey = np.zeros((9, 20, 3), np.uint8)
    items = stored(tmp_path / "grey", [grey, np.zeros((30, 30), np.uint8), grey])
    assert pixels.survey(items) == pixels.Survey(side=9, grey=True, bits=16)
    coloured = grey.copy()
    coloured[0, 0, 1] = 9
    assert not pixels.survey(stored(tmp_path / "colour", [grey, coloured])).grey


def test_statistics_are_those_of_all_pixels() -> None:
    images = np.random.default_rng(0).integers(0, 256, (300, 5, 4, 3), dtype=np.uint8)
    mean, std = pixels.statistics(images)
    scaled = images.reshape(-1, 3) / 255
    np.testing.assert_allclose(mean, scaled.mean(axis=0))
    np.testing.assert_allclose(std, scaled.std(axis=0))
    assert pixels.statistics(np.full((2, 3, 3, 1), 7, np.uint8)) == ([7 / 255], [1.0])
    assert pixels.scaling("unit", images) == ([0.0] * 3, [1.0] * 3)
    assert pixels.scaling("symmetric", images) == ([0.5] * 3, [0.5] * 3)
    assert pixels.scaling("standard", images) == (mean, std)


@pytest.mark.parametrize("channels", [1, 3])
def test_statistics_are_counted_exactly_and_in_little_memory(channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 255, 257, channels), dtype=np.uint8)
    images[:30] = 255  # the largest sums
    tracemalloc.start()
    mean, std = pixels.statistics(images)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < images.nbytes / 4
    count = images.size // channels
    for channel in range(channels):
        values = images[..., channel].astype(np.int64)
        total, squares = int(values.sum()), int((values**2).sum())
        assert mean[channel] == total / count / 255
        assert std[channel] == (count * squares - total * total) ** 0.5 / count / 255
