"""Progress reports: rooms send them, and the caller may listen.

No output depends on them. Without a listener a report costs one comparison; a forked process has no listener.

>>> reports = []
>>> with listening(reports.append):
...     report("training", 320, 1000, figures={"epoch": "2 of 5", "objective": 0.91})
>>> reports[0].done, reports[0].total, reports[0].figures
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
    """``done`` of ``total`` units (None if unknown) of ``what``; the display shows ``figures`` unchanged.

    ``at_most``: the work may end before ``total``, as with early stopping.
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
    """Passes every report of this process to ``listener`` within the block. It must be fast: rooms report each step."""
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
    """Sends a report to the listener, if any. ``what`` names the work in a few words, such as "reading images"."""
    if _listener is not None:
        _listener(Progress(what=what, done=done, total=total, unit=unit, figures=figures or {}, at_most=at_most))


def counted(items: Iterable[Item], what: str, total: int | None = None, *, unit: str = "images") -> Iterator[Item]:
    """Yields the items and reports each one once the caller has processed it."""
    report(what, 0, total, unit=unit)
    for done, item in enumerate(items, start=1):
        yield item
        report(what, done, total, unit=unit)


def _forget() -> None:
    global _listener
    _listener = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
