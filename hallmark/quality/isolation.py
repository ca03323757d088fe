"""Isolated measurement: worker processes measure untrusted files, so that no file can crash the run.

A worker has a memory limit (allocations beyond its size at start) and a time limit per image, see
:mod:`hallmark.images.guard`. A file that exceeds the time limit or crashes a decoder ends its worker; the images of its
chunk are then measured one by one in a fresh worker, and the file that ends that worker too is ``corrupt``. All other
measurements are unaffected, for any number of workers. Raises MachineError if workers end without a file.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from typing import TYPE_CHECKING

from hallmark.contracts import processes
from hallmark.contracts.errors import MachineError
from hallmark.images import guard
from hallmark.images.guard import Limits as Limits  # noqa: TC001  others import it from here
from hallmark.quality.measurement import Measured, measure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Executor, Future, ProcessPoolExecutor

# images and bytes per task: large enough to hide its overhead, small enough for memory independent of N
CHUNK_IMAGES = 256
CHUNK_BYTES = 8 * 2**20
# one worker measures a set of few and small files: starting more takes longer than the work
FEW_IMAGES = 2048
SMALL_BYTES = 16 * 2**10


def measure_here(chunk: list[bytes], limits: Limits, measure_one: Callable[[bytes, int], Measured]) -> list[Measured]:
    """Measures a chunk in an external executor's process, protected only by the limit of declared pixels."""
    return [measure_one(data, limits.max_pixels) for data in chunk]


def measure_guarded(
    chunk: list[bytes], limits: Limits, measure_one: Callable[[bytes, int], Measured]
) -> list[Measured]:
    """Measures a chunk in a worker that ends if an image exceeds the time limit."""
    import signal

    measured = []
    for data in chunk:
        # no handler: the default action ends the process even while a decoder's C code runs
        signal.setitimer(signal.ITIMER_REAL, limits.seconds)
        measured.append(measure_one(data, limits.max_pixels))
        signal.setitimer(signal.ITIMER_REAL, 0)
    return measured


def _start_worker(memory_mib: int) -> None:
    import cv2

    cv2.setNumThreads(1)
    guard.start(memory_mib)


def _pool(workers: int, limits: Limits) -> ProcessPoolExecutor:
    return processes.pool(workers, _start_worker, limits.memory_mib)


def chunks(images: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The images in order, in lists of at most CHUNK_IMAGES images and CHUNK_BYTES bytes (but at least one image)."""
    chunk: list[bytes] = []
    held = 0
    for data in images:
        if chunk and (len(chunk) == CHUNK_IMAGES or held + len(data) > CHUNK_BYTES):
            yield chunk
            chunk, held = [], 0
        chunk.append(data)
        held += len(data)
    if chunk:
        yield chunk


def measure_all(
    images: Iterable[bytes],
    limits: Limits,
    *,
    workers: int,
    executor: Executor | None = None,
    measure_one: Callable[[bytes, int], Measured] = measure,
) -> Iterator[Measured]:
    """Yields each image's measurements in order, with a bounded number of images in memory.

    ``executor`` has the ``submit`` of :mod:`concurrent.futures` (Dask and Ray clients do); it is left running, and a
    chunk it fails on is measured again in guarded local processes. Without one, one guarded process measures a set of
    few and small files, ``workers`` processes any other.
    """
    stream = iter(images)
    head = list(_until_many_or_large(stream)) if executor is None else []
    if executor is None and not head:
        return
    if executor is None and len(head) <= FEW_IMAGES and len(head[-1]) <= SMALL_BYTES:
        workers = 1
    parts = chunks(chain(head, stream))
    with _Crew(limits, workers, executor, measure_one) as crew:
        waiting = deque((chunk, crew.submit(chunk)) for chunk in islice(parts, 2 * workers + 2))
        while waiting:
            yield from crew.result(*waiting.popleft())
            waiting.extend((chunk, crew.submit(chunk)) for chunk in islice(parts, 1))


def _until_many_or_large(stream: Iterator[bytes]) -> Iterator[bytes]:
    """The images up to and including the first that makes more than one worker worthwhile."""
    for number, data in enumerate(stream, start=1):
        yield data
        if number > FEW_IMAGES or len(data) > SMALL_BYTES:
            return


Task = tuple["Future[list[Measured]] | None", "ProcessPoolExecutor | None"]


class _Crew:
    """The workers of one call: a pool, replaced when a file ends a process, and one process for suspect files."""

    def __init__(
        self, limits: Limits, workers: int, executor: Executor | None, measure_one: Callable[[bytes, int], Measured]
    ) -> None:
        self._limits, self._workers, self._measure_one = limits, workers, measure_one
        self._executor = executor
        self._main: ProcessPoolExecutor | None = None
        self._solo: ProcessPoolExecutor | None = None

    def __enter__(self) -> _Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for pool in (self._main, self._solo):
            if pool is not None:
                pool.shutdown(cancel_futures=True)

    def submit(self, chunk: list[bytes]) -> Task:
        """The chunk's future and its pool; no future if the pool just broke."""
        if self._executor is not None:
            return self._executor.submit(measure_here, chunk, self._limits, self._measure_one), None
        pool = self._main = self._main or _pool(self._workers, self._limits)
        try:
            return pool.submit(measure_guarded, chunk, self._limits, self._measure_one), pool
        except BrokenProcessPool:
            self._forsake(pool)
            return None, None

    def result(self, chunk: list[bytes], task: Task) -> list[Measured]:
        """The chunk's measurements, image by image in a fresh process if its own was lost."""
        future, pool = task
        if future is not None:
            try:
                # an external executor has no time limit, and a lost result must not hang the run
                return future.result(None if self._executor is None else self._limits.seconds * len(chunk))
            except BrokenProcessPool:
                self._forsake(pool)
            except Exception:
                # external executors report lost workers by various exceptions; in our pool an exception is a bug
                if self._executor is None:
                    raise
        return [self._alone(data) for data in chunk]

    def _forsake(self, pool: ProcessPoolExecutor | None) -> None:
        if pool is not None and pool is self._main:
            pool.shutdown(wait=False)
            self._main = None

    def _alone(self, data: bytes) -> Measured:
        self._solo = self._solo or _pool(1, self._limits)
        try:
            return self._solo.submit(measure_guarded, [data], self._limits, self._measure_one).result()[0]
        except BrokenProcessPool:
            self._solo.shutdown(wait=False)
            self._solo = _pool(1, self._limits)
            try:
                self._solo.submit(os.getpid).result()
            except BrokenProcessPool:
                # no file caused this; going on would mark every file corrupt
                raise MachineError(
                    "the processes that decode images end at their start",
                    remedy=f"raise validate.memory_mib ({self._limits.memory_mib}), or free some memory",
                ) from None
            return Measured(failure="corrupt")
