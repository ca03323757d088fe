"""Checks of values that print the name they were given.

>>> in_range(0, 1, rate=0.5)
>>> in_range(0, 1, rate=1.5)
Traceback (most recent call last):
    ...
hallmark.contracts.errors.InputError: rate is 1.5, outside [0, 1]; give a value in that range
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hallmark.contracts.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection


def in_range(low: float, high: float, **values: float) -> None:
    """Each value is finite and in [low, high]."""
    for name, value in values.items():
        if not math.isfinite(value) or not low <= value <= high:
            raise InputError(f"{name} is {value}, outside [{low}, {high}]", remedy="give a value in that range")


def positive(**values: float) -> None:
    """Each value is finite and > 0."""
    for name, value in values.items():
        if not math.isfinite(value) or value <= 0:
            raise InputError(f"{name} is {value}, but must be above 0", remedy="give a positive value")


def at_least(low: float, **values: float) -> None:
    """Each value is finite and >= low."""
    for name, value in values.items():
        if not math.isfinite(value) or value < low:
            raise InputError(f"{name} is {value}, below {low}", remedy=f"give {low} or more")


def not_blank(remedy: str, **values: str) -> None:
    """Each value has a character that is no white space."""
    for name, value in values.items():
        if not value.strip():
            raise InputError(f"{name} is empty", remedy=remedy)


def one_of(choices: Collection[str], **values: str) -> None:
    """Each value is one of the choices; the nearest choice is suggested for a misspelling."""
    import difflib

    for name, value in values.items():
        if value not in choices:
            near = difflib.get_close_matches(str(value), list(choices), n=1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            raise InputError(f"{name} is '{value}'", remedy=f"{hint}choose one of: {', '.join(choices)}")
