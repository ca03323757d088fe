"""data/review.csv: every decision is written immediately and atomically, and can be undone.

The file is reread before every change, so edits made by hand in between are kept. Rows of other paths keep their
position and text; a path keeps a single row, at the position of its last one.
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
    """A human decision on one path, for its content at the time (SHA-256 of the file's bytes)."""

    path: str
    content_hash: str
    decision: str
    label: str = ""
    note: str = ""
    when: str = ""


class Journal:
    """Decisions on disk, shared by threads. Every method raises InputError if the file is missing or invalid."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._done: list[tuple[str, list[Row], int]] = []

    def in_force(self) -> dict[str, Decision]:
        """The last decision of each path."""
        return {row[0]: Decision(**dict(zip(COLUMNS, row, strict=True))) for row in read_rows(self.path)}

    def record(self, decision: Decision) -> Decision:
        """Writes a decision with the current time (UTC), replacing the path's earlier ones; returns it."""
        row = [getattr(decision, name) for name in COLUMNS]
        row[COLUMNS.index("when")] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        with self._lock:
            self._done.append((decision.path, *self._put(decision.path, [row])))
        return Decision(**dict(zip(COLUMNS, row, strict=True)))

    def withdraw(self, path: str) -> bool:
        """Removes the path's decisions; False if it has none."""
        with self._lock:
            before, position = self._put(path, [])
            if before:
                self._done.append((path, before, position))
        return bool(before)

    def undo(self) -> str | None:
        """Undoes the last change and returns its path; None without a change in this session."""
        with self._lock:
            if not self._done:
                return None
            path, before, position = self._done[-1]
            self._put(path, before, position)
            self._done.pop()
        return path

    @property
    def undoable(self) -> int:
        """The number of changes that :meth:`undo` can revert."""
        return len(self._done)

    def _put(self, path: str, new: list[Row], position: int | None = None) -> tuple[list[Row], int]:
        """Replaces the path's rows; returns the replaced ones and their position among the rows of other paths.

        Without rows to replace, the new ones go to ``position``, by default the end.
        """
        rows = read_rows(self.path)
        before = [row for row in rows if row[0] == path]
        others = [row for row in rows if row[0] != path]
        if before:
            # the last of several rows counts
            last = max(number for number, row in enumerate(rows) if row[0] == path)
            position = last - (len(before) - 1)
        elif position is None:
            position = len(others)
        lines = [COLUMNS, *others[:position], *new, *others[position:]]
        durable.write_text(self.path, "".join(",".join(map(_quoted, line)) + "\n" for line in lines))
        return before, position


def _quoted(text: str) -> str:
    # csv.writer does not quote a lone carriage return, which csv.reader reads as the end of the row
    return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in ',"\r\n') else text
