"""A progress bar for a person at a terminal; silent elsewhere."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Advance = Callable[[int, str], None]


def _nothing(step: int, text: str) -> None:
    """Nobody looks."""


@contextmanager
def bar(total: int) -> Iterator[Advance]:
    """A function that takes (steps done, a few words) and shows them where standard error is a terminal."""
    if not sys.stderr.isatty():
        yield _nothing
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("train"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total)

        def advance(step: int, text: str) -> None:
            progress.update(task, completed=step, description=text)

        yield advance
