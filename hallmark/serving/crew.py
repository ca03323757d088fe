"""What answers the requests of a server: guarded processes that decode, and the network.

No request waits for another one's images longer than :data:`WAIT` seconds, and none holds more than one process for
each of its images; what a request started ends with it.
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

WAIT = 10.0  # seconds that an image waits for a process
REQUEST = 60.0  # seconds that all images of a request may take


class Busy(Exception):
    """No process became free in time."""


class Crew:
    """Answers about images, in one event loop."""

    def __init__(self, source: Source, limits: Limits, workers: int) -> None:
        self._source, self._limits, self.workers = source, limits, workers
        # a thread whose process was killed for a client that went away ends a moment later
        self._threads = ThreadPoolExecutor(2 * workers)
        # one image at a time through the network, which uses all cores for it: answers do not depend on neighbours
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
        """Starts the processes and waits for them. Raises MachineError where they do not start."""
        for one in self._all:
            one.start()
        for one in self._all:
            preprocessing.await_start(one, self._limits)

    async def answer(self, data: bytes, until: float) -> dict[str, Any]:
        """As :func:`answers.answer`. Raises ValueError for a bad image, Busy, and MachineError."""
        seconds = until - time.monotonic()
        if seconds <= 0:
            raise ValueError(f"the images before it took the {REQUEST:g} seconds of the request")
        pixels = await self._pixels(data, seconds)
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._network, self.classifier.classify, pixels[None])
        return answers.answer(found[0], self.classifier.classes, self._source.temperature)

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
            self._threads.submit(guarded.start)  # so that the next image need not wait
            raise
        finally:
            self._idle.put_nowait(guarded)

    def close(self) -> None:
        """Ends the processes, whatever they do."""
        for one in self._all:
            one.kill()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._network.shutdown(wait=False, cancel_futures=True)
