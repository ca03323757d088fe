"""How far a piece of work has come: rooms report it, whoever runs them listens.

Nothing that a stage writes depends on it: without a listener a report is a comparison, and a process that was forked
has none.

>>> heard = []
>>> with listening(heard.append):
...     report("training", 320, 1000, figures={"epoch": "2 of 5", "objective": 0.91})
>>> heard[0].done, heard[0].total, heard[0].figures
(320, 1000, {'epoch': '2 of 5', 'objective': 0.91})
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """``done`` of ``total`` units (None: nobody knows) of ``what``; ``figures`` are shown as they are.

    ``at_most``: the work may end before ``total``, as a training that stops early.
    """

    what: str
    done: int
    total: int | None
    unit: str
    figures: Mapping[str, str | float]
    at_most: bool = False


_listener: Callable[[Progress], None] | None = None


@contextmanager
def listening(listener: Callable[[Progress], None]) -> Iterator[None]:
    """Within the block ``listener`` gets every report of this process. It must be quick: rooms report every step."""
    global _listener
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = before


def report(
    what: str,
    done: int = 0,
    total: int | None = None,
    *,
    unit: str = "images",
    figures: Mapping[str, str | float] | None = None,
    at_most: bool = False,
) -> None:
    """Tells the listener, if there is one. ``what`` names the work in a few words, as "reading images"."""
    if _listener is not None:
        _listener(Progress(what=what, done=done, total=total, unit=unit, figures=figures or {}, at_most=at_most))


def counted(items: Iterable[Item], what: str, total: int | None = None, *, unit: str = "images") -> Iterator[Item]:
    """The items as they come; each is reported when it has been dealt with."""
    report(what, 0, total, unit=unit)
    for done, item in enumerate(items, start=1):
        yield item
        report(what, done, total, unit=unit)


def _forget() -> None:
    global _listener
    _listener = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
