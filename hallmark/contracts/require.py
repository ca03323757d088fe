"""Value checks whose messages name the checked keyword argument.

>>> in_range(0, 1, rate=0.5)
>>> in_range(0, 1, rate=1.5)
Traceback (most recent call last):
    ...
hallmark.contracts.errors.InputError: rate is 1.5, outside [0, 1]; give a value in that range

Lists and sections are checked value by value. Number checks skip words such as ``auto`` and None: the field's type
decides whether they are allowed.

>>> at_least(0, limit=None, decay="auto", strengths=[0.5, -1])
Traceback (most recent call last):
    ...
hallmark.contracts.errors.InputError: strengths[1] is -1, below 0; give 0 or more

Within :func:`gathered` nothing is raised, so all faults are reported at once. Each fault holds its field as data, and
the other fields that its text mentions; the caller that knows the section of params.yaml prefixes them.

>>> with gathered() as faults:
...     in_range(0, 1, warmup=1.5)
...     at_least(1, accumulate=0)
>>> for fault in faults:
...     print(fault.renamed(lambda field: f"train.{field}"))
train.warmup is 1.5, outside [0, 1]; give a value in that range
train.accumulate is 0, below 1; give 1 or more
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

from hallmark.contracts.errors import Fault, HallmarkError, InputError

Numbers: TypeAlias = "float | str | Sequence[Numbers] | Mapping[str, Numbers] | None"

_FAULTS: ContextVar[list[Fault] | None] = ContextVar("faults", default=None)


@contextmanager
def gathered() -> Iterator[list[Fault]]:
    """Collects the faults of the checks in the block, in this thread, and those of an InputError that ends it."""
    faults: list[Fault] = []
    before = _FAULTS.set(faults)
    try:
        yield faults
    except InputError as error:
        faults.extend(error.faults)
    finally:
        _FAULTS.reset(before)


@contextmanager
def within(section: str) -> Iterator[None]:
    """Prefixes the fields of each fault in the block, gathered or raised, with a section: ``rate`` → ``section.rate``.

    >>> with within("model"):
    ...     in_range(1, 3, depth=4)
    Traceback (most recent call last):
        ...
    hallmark.contracts.errors.InputError: model.depth is 4, outside [1, 3]; give a value in that range
    """
    gathering = _FAULTS.get()
    others = [] if gathering is None else gathering
    before = len(others)
    try:
        yield
    except HallmarkError as error:
        error.rename(lambda field: f"{section}.{field}")
        raise
    others[before:] = [fault.renamed(lambda field: f"{section}.{field}") for fault in others[before:]]


def refuse(faults: Sequence[Fault], *, head: str = "") -> None:
    """Raises InputError if there are faults; within :func:`gathered` adds them to the others instead."""
    if (others := _FAULTS.get()) is not None:
        others.extend(faults)
    elif faults:
        raise InputError.of(faults, head=head)


def that(holds: bool, message: str, *, remedy: str, field: str = "", siblings: Sequence[str] = ()) -> None:
    """Raises InputError unless ``holds``; a field's name, if any, precedes the message.

    Message and remedy name other fields of the section in braces, and ``siblings`` lists them:

    >>> with within("model"):
    ...     that(False, "is own, but {name} is auto", remedy="set {name}", field="backbone", siblings=("name",))
    Traceback (most recent call last):
        ...
    hallmark.contracts.errors.InputError: model.backbone is own, but model.name is auto; set model.name
    """
    if not holds:
        refuse([Fault(f"{field} {message}" if field else message, remedy, field, siblings=tuple(siblings))])


def in_range(low: float, high: float, /, **values: Numbers) -> None:
    """Each number is finite and in [low, high]."""
    for name, value in _numbers(values):
        within_range = math.isfinite(value) and low <= value <= high
        that(within_range, f"is {value}, outside [{low}, {high}]", remedy="give a value in that range", field=name)


def positive(**values: Numbers) -> None:
    """Each number is finite and > 0."""
    for name, value in _numbers(values):
        above = math.isfinite(value) and value > 0
        that(above, f"is {value}, but must be above 0", remedy="give a positive value", field=name)


def at_least(low: float, /, **values: Numbers) -> None:
    """Each number is finite and >= low."""
    for name, value in _numbers(values):
        reached = math.isfinite(value) and value >= low
        that(reached, f"is {value}, below {low}", remedy=f"give {low} or more", field=name)


def not_blank(remedy: str, /, **values: str) -> None:
    """Each value has a non-space character."""
    for name, value in values.items():
        that(bool(value.strip()), "is empty", remedy=remedy, field=name)


def one_of(choices: Collection[str], /, **values: str | Sequence[str]) -> None:
    """Each value, or each item of a list, is one of the choices; a misspelling gets the closest choice suggested."""
    import difflib

    for name, value in _each(values):
        if value not in choices:
            near = difflib.get_close_matches(str(value), list(choices), n=1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            that(False, f"is '{value}'", remedy=f"{hint}choose one of: {', '.join(choices)}", field=name)


def _each(values: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """(name, value) of each value inside lists and sections: ``rates[0]``, ``costs.cat``."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _each({f"{name}.{key}": inner for key, inner in value.items()})
        elif isinstance(value, list | tuple):
            yield from _each({f"{name}[{index}]": inner for index, inner in enumerate(value)})
        else:
            yield name, value


def _numbers(values: Mapping[str, Numbers]) -> Iterator[tuple[str, float]]:
    return ((name, value) for name, value in _each(values) if isinstance(value, int | float))
