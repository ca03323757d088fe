"""A bar with rate and time left, for work long enough to wonder about, where a person is watching."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# less than this is done before a bar could be read
WORTH_SHOWING = 5_000
# seconds between two looks at the clock: results come in bursts, whose rate alone says nothing
EVERY = 0.25


@contextlib.contextmanager
def bar(title: str) -> Iterator[Callable[[int, int], None] | None]:
    """Gives a function to tell (done, total); None where no terminal is there to show it."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.0f}/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=None, visible=False, rate=0.0)

        told = time.monotonic()

        def tell(done: int, total: int) -> None:
            nonlocal told
            if time.monotonic() - told >= EVERY or done == total:
                told = time.monotonic()
                speed = progress.tasks[0].speed or 0.0
                progress.update(task, completed=done, total=total, visible=total >= WORTH_SHOWING, rate=speed)

        yield tell
