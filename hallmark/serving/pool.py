"""The inference pool of a server: guarded decoding processes, and one thread for the network.

An image waits at most :data:`WAIT` seconds for a process and occupies one. Cancelling a request kills the processes
that work for it.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from hallmark.serving import answers, preprocessing
from hallmark.serving.classifier import Classifier

if TYPE_CHECKING:
    from hallmark.images.guard import Guarded, Limits
    from hallmark.serving.source import Source

WAIT = 10.0  # seconds an image waits for a process
REQUEST = 60.0  # seconds for all images of a request


class Busy(Exception):
    """No process became free in time."""


class InferencePool:
    """Classifies images for one event loop."""

    def __init__(self, source: Source, limits: Limits, workers: int) -> None:
        self._source, self._limits, self.workers = source, limits, workers
        # twice the workers: a thread outlives for a moment the process killed when its client disconnected
        self._threads = ThreadPoolExecutor(2 * workers)
        # one image at a time through the network, on all cores: an answer does not depend on concurrent requests
        self._network = ThreadPoolExecutor(1)
        self._idle: asyncio.Queue[Guarded] = asyncio.Queue()
        self._all: set[Guarded] = set()
        for _ in range(workers):
            self._idle.put_nowait(self._new())
        self.classifier = Classifier(source.files)

    def _new(self) -> Guarded:
        guarded = preprocessing.process(self._source.files, self._limits)
        self._all.add(guarded)
        return guarded

    def start(self) -> None:
        """Starts the processes and waits until they answer. Raises MachineError if one does not start."""
        for one in self._all:
            one.start()
        for one in self._all:
            preprocessing.await_start(one, self._limits)

    async def answer(self, data: bytes, until: float) -> dict[str, Any]:
        """The :func:`answers.answer` for an image. Raises ValueError for a bad image, Busy, and MachineError."""
        seconds = until - time.monotonic()
        if seconds <= 0:
            raise ValueError(f"the preceding images used up the request's {REQUEST:g} seconds")
        pixels = await self._pixels(data, seconds)
        loop = asyncio.get_running_loop()
        probabilities = await loop.run_in_executor(self._network, self.classifier.classify, pixels[None])
        return answers.answer(probabilities[0], self.classifier.classes, self._source.temperature)

    async def _pixels(self, data: bytes, seconds: float) -> Any:
        try:
            async with asyncio.timeout(min(WAIT, seconds)):
                guarded = await self._idle.get()
        except TimeoutError:
            raise Busy from None
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(
                self._threads, lambda: preprocessing.prepared(guarded, data, self._limits, seconds=seconds)
            )
        except asyncio.CancelledError:
            guarded.kill()
            self._all.discard(guarded)
            guarded = self._new()
            self._threads.submit(guarded.start)  # ready for the next image
            raise
        finally:
            self._idle.put_nowait(guarded)

    def close(self) -> None:
        """Kills the processes."""
        for one in self._all:
            one.kill()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._network.shutdown(wait=False, cancel_futures=True)
