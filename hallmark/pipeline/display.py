"""The progress display of a running stage: its name, work, progress, rate and time left.

On a terminal one line is updated in place; elsewhere (a log, CI) plain lines appear at the start and every 30 seconds.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from hallmark.contracts import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hallmark.contracts.progress import Progress

EVERY = 30.0  # seconds between two plain lines
FIRST = 1.0  # seconds before the first one: a stage that ends sooner needs none
TICK = 0.2  # seconds between two updates
WINDOW = 30.0  # seconds over which a rate is measured; longer if there are fewer than LEAST changes
LEAST = 5
CLEAR = "\r\x1b[K"


@dataclass(kw_only=True)
class Pace:
    """The rate of the current work; ``changes`` holds (seconds, units done) at each change of ``done``."""

    what: str
    changes: deque[tuple[float, int]] = field(default_factory=deque)

    def note(self, now: float, done: int) -> None:
        """Records that ``done`` units are done, and drops changes before the window."""
        if self.changes and self.changes[-1][1] == done:
            return
        if self.changes and done < self.changes[-1][1]:
            self.changes.clear()  # the work restarted
        self.changes.append((now, done))
        while len(self.changes) > LEAST and now - self.changes[0][0] > WINDOW:
            self.changes.popleft()

    def rate(self) -> float | None:
        """Units per second; None until there are two changes to compare."""
        if len(self.changes) < 2 or self.changes[-1][0] <= self.changes[0][0]:
            return None
        return (self.changes[-1][1] - self.changes[0][1]) / (self.changes[-1][0] - self.changes[0][0])

    def left(self, now: float, total: int) -> float | None:
        """Estimated seconds until ``total``; None without a rate."""
        rate = self.rate()
        if rate is None:
            return None
        last, done = self.changes[-1]
        return max(0.0, (total - done) / rate - (now - last))


class Display:
    """Shows the latest progress report of this process while it is :meth:`running`.

    ``live`` updates one line in place; by default it is on if ``stream`` is a terminal. ``write`` receives the plain
    lines instead of the stream, for example for a log.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        live: bool | None = None,
        write: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream or sys.stdout
        terminal = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self.live = terminal and write is None if live is None else live
        self._write, self._clock = write or self._line, clock
        self._lock = threading.RLock()
        self._stage, self._does = "", ""
        self._begun = self._due = 0.0
        self._latest: Progress | None = None
        self._pace = Pace(what="")

    def begin(self, stage: str, does: str = "", *, position: str = "") -> None:
        """Starts a stage; ``does`` describes its work in a few words, ``position`` its number: ``[8/11]``."""
        with self._lock:
            self._stage = f"{position} {stage}".strip()
            self._does, self._begun = does or "started", self._clock()
            self._due = self._begun + FIRST
            self._latest, self._pace = None, Pace(what="")
            if self.live:
                self._draw()

    def end(self) -> None:
        """Ends the stage; nothing is shown until the next one begins."""
        with self._lock:
            self._clear()
            self._stage, self._latest = "", None

    def heard(self, report: Progress) -> None:
        """Receives a report, which the next tick shows."""
        self._latest = report

    def tick(self) -> None:
        """Shows the progress: at once on a terminal, else every :data:`EVERY` seconds."""
        with self._lock:
            now, latest = self._clock(), self._latest
            if latest is not None:
                if latest.what != self._pace.what:
                    self._pace = Pace(what=latest.what)
                self._pace.note(now, latest.done)
            if not self._stage:
                return
            if self.live:
                self._draw()
            elif now >= self._due:
                first = self._due == self._begun + FIRST
                self._due = now + EVERY
                self._write(f"  {self._stage}: {self._does}" if first else f"  {self.words()}")

    def words(self) -> str:
        """The stage and its progress, as one line."""
        now, latest = self._clock(), self._latest
        if latest is None:
            return f"{self._stage}: {self._does}, {duration(now - self._begun)} so far"
        parts = [latest.what] if latest.what != latest.unit else []
        parts += [
            f"{name} {value if isinstance(value, str) else f'{value:.4g}'}" for name, value in latest.figures.items()
        ]
        if latest.total:
            parts.append(f"{latest.done:,} of {latest.total:,} {latest.unit}")
        elif latest.done:
            parts.append(f"{latest.done:,} {latest.unit}")
        rate = self._pace.rate() if self._pace.what == latest.what else None
        if rate:
            parts.append(f"{rate:,.0f} {latest.unit}/s" if rate >= 10 else f"{60 * rate:,.1f} {latest.unit}/min")
        left = self._pace.left(now, latest.total) if rate and latest.total else None
        if left is not None and latest.done < (latest.total or 0):
            parts.append(f"{'at most ' if latest.at_most else ''}{duration(left)} left")
        return f"{self._stage}: {', '.join(parts)}"

    @contextmanager
    def above(self) -> Iterator[None]:
        """Clears the live line, so that the block can write something else."""
        with self._lock:
            self._clear()
            yield

    @contextmanager
    def running(self) -> Iterator[Display]:
        """Shows the progress reports of this process within the block."""
        over = threading.Event()

        def look() -> None:
            while not over.wait(TICK):
                self.tick()

        thread = threading.Thread(target=look, name="progress", daemon=True)
        thread.start()
        try:
            with progress.listening(self.heard):
                yield self
        finally:
            over.set()
            thread.join()
            self.end()

    def _draw(self) -> None:
        width = shutil.get_terminal_size().columns
        self._stream.write(f"{CLEAR}  {self.words()}"[: width + len(CLEAR) - 1])
        self._stream.flush()

    def _clear(self) -> None:
        if self.live:
            self._stream.write(CLEAR)
            self._stream.flush()

    def _line(self, text: str) -> None:
        self._stream.write(f"{text}\n")
        self._stream.flush()


def duration(seconds: float) -> str:
    """Minutes and seconds, with hours if there are any.

    >>> duration(42.4), duration(754), duration(7384)
    ('0:42', '12:34', '2:03:04')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
