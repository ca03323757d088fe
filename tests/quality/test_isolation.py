from __future__ import annotations

import os
import signal
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from hallmark.contracts.errors import MachineError
from hallmark.quality import isolation
from hallmark.quality.isolation import Limits, chunks, measure_all
from hallmark.quality.measurement import Measured

if TYPE_CHECKING:
    from collections.abc import Callable

LIMITS = Limits(max_pixels=100, seconds=1.0, memory_mib=256)


def evil(data: bytes, max_pixels: int) -> Measured:
    """Simulates a decoder that some files crash, hang, or exhaust the memory of."""
    if data == b"kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if data == b"hang":
        time.sleep(60)
    if data == b"fill":
        try:
            bytearray(2**30)
        except MemoryError:
            return Measured(failure="decompression_bomb")
    return Measured(width=len(data), height=max_pixels)


def mistaken(data: bytes, max_pixels: int) -> Measured:
    raise ZeroDivisionError("our own mistake")


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "CHUNK_IMAGES", 4)
    monkeypatch.setattr(isolation, "FEW_IMAGES", 0)


@pytest.mark.usefixtures("small_chunks")
def test_no_file_takes_the_run_or_its_neighbours_down() -> None:
    images = [b"a" * n for n in range(1, 22)]
    images[2], images[9], images[17] = b"kill", b"hang", b"fill"
    for workers in (1, 2):
        result = list(measure_all(images, LIMITS, workers=workers, measure_one=evil))
        assert [one.failure for one in result if one.failure] == ["corrupt", "corrupt", "decompression_bomb"]
        assert (result[2].failure, result[9].failure, result[17].failure) == (
            "corrupt",
            "corrupt",
            "decompression_bomb",
        )
        assert [one.width for one in result if not one.failure] == [n for n in range(1, 22) if n not in (3, 10, 18)]


@pytest.mark.usefixtures("small_chunks")
def test_our_own_mistake_is_not_blamed_on_a_file() -> None:
    with pytest.raises(ZeroDivisionError, match="our own mistake"):
        list(measure_all([b"x"] * 9, LIMITS, workers=1, measure_one=mistaken))


def test_workers_that_cannot_start_are_not_blamed_on_the_files() -> None:
    limits = Limits(max_pixels=100, seconds=1.0, memory_mib=2**60)  # which ends a worker at its start
    with pytest.raises(MachineError, match="end at their start"):
        list(measure_all([b"II fine"], limits, workers=1))


def test_a_small_set_of_small_files_is_guarded_by_one_process() -> None:
    images = [b"a", b"kill", b"bb", b"hang", b"fill", b"ccc"]
    result = list(measure_all(images, LIMITS, workers=2, measure_one=evil))
    assert [one.failure for one in result] == ["", "corrupt", "", "corrupt", "decompression_bomb", ""]
    assert [one.width for one in result if not one.failure] == [1, 2, 3]
    assert list(measure_all([], LIMITS, workers=2, measure_one=evil)) == []


@pytest.mark.parametrize("more", [[], [b"a"] * isolation.FEW_IMAGES, [b"a" * (isolation.SMALL_BYTES + 1)]])
def test_more_or_larger_files_get_all_workers(more: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def pool(workers: int, _: Limits) -> Any:
        asked.append(workers)
        return ThreadPoolExecutor(1)

    monkeypatch.setattr(isolation, "_pool", pool)
    monkeypatch.setattr(isolation, "measure_guarded", isolation.measure_here)
    result = list(measure_all([b"ab", *more], LIMITS, workers=2, measure_one=evil))
    assert [one.width for one in result] == [2, *map(len, more)]
    assert asked == [2 if more else 1]


def test_a_given_executor_does_the_work_and_is_left_running() -> None:
    images = [b"a" * (n % 7 + 1) for n in range(600)]
    with ThreadPoolExecutor(2) as executor:
        result = list(measure_all(images, LIMITS, workers=2, executor=executor, measure_one=evil))
        assert executor.submit(int, "3").result() == 3
    assert [one.width for one in result] == [len(data) for data in images]


class Losing(ThreadPoolExecutor):
    """An executor that reports a lost worker by its own exception."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        lost: Future[Any] = Future()
        lost.set_exception(RuntimeError("worker lost"))
        return lost


def test_what_a_given_executor_loses_is_measured_here() -> None:
    with Losing(1) as executor:
        result = list(measure_all([b"abc", b"kill"], LIMITS, workers=1, executor=executor, measure_one=evil))
    assert [one.width for one in result] == [3, 0]
    assert result[1].failure == "corrupt"


def test_chunks_bound_images_and_bytes() -> None:
    big = bytes(isolation.CHUNK_BYTES)
    images = [b"x"] * (isolation.CHUNK_IMAGES + 1) + [big, big, b"y"]
    parts = list(chunks(images))
    assert [len(part) for part in parts] == [isolation.CHUNK_IMAGES, 1, 1, 1, 1]
    assert [data for part in parts for data in part] == images
