"""Checks of values that print the name they were given.

>>> in_range(0, 1, rate=0.5)
>>> in_range(0, 1, rate=1.5)
Traceback (most recent call last):
    ...
hallmark.contracts.errors.InputError: rate is 1.5, outside [0, 1]; give a value in that range

Within :func:`gathered` nothing is raised, so that all faults can be told at once:

>>> with gathered() as faults:
...     in_range(0, 1, rate=1.5)
...     at_least(1, steps=0)
>>> for fault in faults:
...     print(fault)
rate is 1.5, outside [0, 1]; give a value in that range
steps is 0, below 1; give 1 or more
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from hallmark.contracts.errors import Fault, InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_FAULTS: ContextVar[list[Fault] | None] = ContextVar("faults", default=None)


@contextmanager
def gathered() -> Iterator[list[Fault]]:
    """The faults that checks find within the block, in this thread; the checks then raise nothing."""
    faults: list[Fault] = []
    before = _FAULTS.set(faults)
    try:
        yield faults
    finally:
        _FAULTS.reset(before)


def that(holds: bool, message: str, *, remedy: str) -> None:
    """Raises InputError with the message unless it ``holds``."""
    if holds:
        return
    faults = _FAULTS.get()
    if faults is None:
        raise InputError(message, remedy=remedy)
    faults.append(Fault(message, remedy))


def in_range(low: float, high: float, **values: float) -> None:
    """Each value is finite and in [low, high]."""
    for name, value in values.items():
        within = math.isfinite(value) and low <= value <= high
        that(within, f"{name} is {value}, outside [{low}, {high}]", remedy="give a value in that range")


def positive(**values: float) -> None:
    """Each value is finite and > 0."""
    for name, value in values.items():
        within = math.isfinite(value) and value > 0
        that(within, f"{name} is {value}, but must be above 0", remedy="give a positive value")


def at_least(low: float, **values: float) -> None:
    """Each value is finite and >= low."""
    for name, value in values.items():
        that(math.isfinite(value) and value >= low, f"{name} is {value}, below {low}", remedy=f"give {low} or more")


def not_blank(remedy: str, **values: str) -> None:
    """Each value has a character that is no white space."""
    for name, value in values.items():
        that(bool(value.strip()), f"{name} is empty", remedy=remedy)


def one_of(choices: Collection[str], **values: str) -> None:
    """Each value is one of the choices; the nearest choice is suggested for a misspelling."""
    import difflib

    for name, value in values.items():
        if value not in choices:
            near = difflib.get_close_matches(str(value), list(choices), n=1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            that(False, f"{name} is '{value}'", remedy=f"{hint}choose one of: {', '.join(choices)}")
