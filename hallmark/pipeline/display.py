"""What a person sees while a stage runs: which stage, what it does, how far it is, how fast, and the time left.

On a terminal one line that is written anew; elsewhere (a log, CI) a plain line when a stage starts and now and then.
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
FIRST = 1.0  # seconds before the first one: of a stage that is done by then its end says enough
TICK = 0.2  # seconds between two looks at the work
WINDOW = 30.0  # seconds over which a rate is measured, or longer: at least LEAST changes
LEAST = 5
CLEAR = "\r\x1b[K"


@dataclass(kw_only=True)
class Pace:
    """How fast the work at hand goes, from the moments at which ``done`` had changed."""

    what: str
    seen: deque[tuple[float, int]] = field(default_factory=deque)

    def note(self, now: float, done: int) -> None:
        """Notes that ``done`` units are done; forgets what lies too far back."""
        if self.seen and self.seen[-1][1] == done:
            return
        if self.seen and done < self.seen[-1][1]:
            self.seen.clear()  # it began anew
        self.seen.append((now, done))
        while len(self.seen) > LEAST and now - self.seen[0][0] > WINDOW:
            self.seen.popleft()

    def rate(self) -> float | None:
        """Units a second; None before there are two moments to compare."""
        if len(self.seen) < 2 or self.seen[-1][0] <= self.seen[0][0]:
            return None
        return (self.seen[-1][1] - self.seen[0][1]) / (self.seen[-1][0] - self.seen[0][0])

    def left(self, now: float, total: int) -> float | None:
        """Seconds until ``total``."""
        rate = self.rate()
        if rate is None:
            return None
        last, done = self.seen[-1]
        return max(0.0, (total - done) / rate - (now - last))


class Display:
    """Listens to the rooms of this process while it is :meth:`running`, and shows the latest.

    ``live``: one line written anew; its default is whether ``stream`` is a terminal. ``write`` takes plain lines where
    they do not go to the stream, as to a log.
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

    def begin(self, stage: str, does: str = "", *, place: str = "") -> None:
        """A stage starts; ``does`` says in a few words what it does, ``place`` which of how many it is."""
        with self._lock:
            self._stage = f"{place} {stage}".strip()
            self._does, self._begun = does or "started", self._clock()
            self._due = self._begun + FIRST
            self._latest, self._pace = None, Pace(what="")
            if self.live:
                self._draw()

    def end(self) -> None:
        """The stage is over: nothing is shown until the next begins."""
        with self._lock:
            self._clear()
            self._stage, self._latest = "", None

    def heard(self, report: Progress) -> None:
        """Takes a report, which is shown at the next tick."""
        self._latest = report

    def tick(self) -> None:
        """Shows how it stands: at once on a terminal, elsewhere where :data:`EVERY` seconds have passed."""
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
        """The stage, and how it stands."""
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
        """Within the block something else may be written: the live line is out of the way."""
        with self._lock:
            self._clear()
            yield

    @contextmanager
    def running(self) -> Iterator[Display]:
        """Within the block the reports of this process are heard and shown."""
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
    """Minutes and seconds, with hours where there are any.

    >>> duration(42.4), duration(754), duration(7384)
    ('0:42', '12:34', '2:03:04')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
