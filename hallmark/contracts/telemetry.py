"""Timings and machine facts of a stage, kept out of its outputs.

A stage or a room calls :func:`note`; the executor of the stage collects the notes for reports/run.json. Outside
:func:`collect` a note is dropped, so a room also works as a library.

>>> with collect() as notes:
...     note(samples_per_second=1200.0)
>>> notes
{'samples_per_second': 1200.0}
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

Fact = str | int | float | bool | None

_notes: ContextVar[dict[str, Fact] | None] = ContextVar("hallmark_notes", default=None)


def note(**facts: Fact) -> None:
    """Adds facts to the run record of the executing stage."""
    notes = _notes.get()
    if notes is not None:
        notes.update(facts)


@contextmanager
def collect() -> Iterator[dict[str, Fact]]:
    """Collects the notes of the block."""
    notes: dict[str, Fact] = {}
    token = _notes.set(notes)
    try:
        yield notes
    finally:
        _notes.reset(token)
