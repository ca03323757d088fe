"""data/review.csv, written one decision at a time: at once, atomically, and back again.

The file is read anew before every change, so what was edited by hand in between stays. Rows of other paths keep their
place and their text; of one path a single row is left, where its last one stood.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hallmark.contracts import durable
from hallmark.quality.review import COLUMNS, read_rows

if TYPE_CHECKING:
    from pathlib import Path

Row = list[str]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a person said of one path, for the content it had then (SHA-256 of the file's bytes)."""

    path: str
    content_hash: str
    decision: str
    label: str = ""
    note: str = ""
    when: str = ""


class Journal:
    """Decisions on disk. Every method raises InputError where the file is missing or faulty; threads may share it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._done: list[tuple[str, list[Row], int]] = []

    def in_force(self) -> dict[str, Decision]:
        """The last decision of each path."""
        return {row[0]: Decision(**dict(zip(COLUMNS, row, strict=True))) for row in read_rows(self.path)}

    def record(self, decision: Decision) -> Decision:
        """Writes a decision with the time now (UTC) in place of the path's earlier ones; what was written."""
        row = [getattr(decision, name) for name in COLUMNS]
        row[COLUMNS.index("when")] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        with self._lock:
            self._done.append((decision.path, *self._put(decision.path, [row])))
        return Decision(**dict(zip(COLUMNS, row, strict=True)))

    def withdraw(self, path: str) -> bool:
        """Takes the path's decisions out; False where it has none."""
        with self._lock:
            before, place = self._put(path, [])
            if before:
                self._done.append((path, before, place))
        return bool(before)

    def undo(self) -> str | None:
        """Takes the last change back; the path it was about, None where nothing was changed since the start."""
        with self._lock:
            if not self._done:
                return None
            path, before, place = self._done[-1]
            self._put(path, before, place)
            self._done.pop()
        return path

    @property
    def undoable(self) -> int:
        """Changes that :meth:`undo` can take back."""
        return len(self._done)

    def _put(self, path: str, new: list[Row], place: int | None = None) -> tuple[list[Row], int]:
        """Replaces the path's rows, and gives those that stood there and their place among the rows of other paths.

        Without rows to replace, the new ones go to ``place``, by default the end.
        """
        rows = read_rows(self.path)
        before = [row for row in rows if row[0] == path]
        others = [row for row in rows if row[0] != path]
        if before:
            # of several rows the last one counts
            last = max(number for number, row in enumerate(rows) if row[0] == path)
            place = last - (len(before) - 1)
        elif place is None:
            place = len(others)
        lines = [COLUMNS, *others[:place], *new, *others[place:]]
        durable.write_text(self.path, "".join(",".join(map(_quoted, line)) + "\n" for line in lines))
        return before, place


def _quoted(text: str) -> str:
    # csv.writer leaves a lone carriage return bare, which csv.reader then takes for the end of the row
    return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in ',"\r\n') else text
