"""What the clock and the machine had to say of a stage, kept out of its outputs.

A stage or a room calls :func:`note`; whoever executes the stage collects the notes for reports/run.json. Outside of
:func:`collect` a note is dropped: a room can be used as a library.

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
    """Adds facts to what the executing stage reports of its run."""
    notes = _notes.get()
    if notes is not None:
        notes.update(facts)


@contextmanager
def collect() -> Iterator[dict[str, Fact]]:
    """Gathers the notes of the block."""
    notes: dict[str, Fact] = {}
    token = _notes.set(notes)
    try:
        yield notes
    finally:
        _notes.reset(token)
