"""The errors a user can see, and the exit code of each.

    Exception
    └── HallmarkError          1  our fault
        ├── InputError         2  the user's input or params are wrong (also a ValueError)
        ├── GateRefused        3  files were found and accounted for, but a gate refused them
        └── MachineError       4  the machine is in the way: disk full, another run active, no permission

An error keeps what is wrong (``message``) apart from what to do about it (``remedies``); its text is both.

>>> error = InputError("no folder 'cats'", remedy="give an existing folder", field="source")
>>> error
InputError("source: no folder 'cats'; give an existing folder")
>>> error.rename(lambda field: f"ingest.{field}")
>>> error.message, error.remedies
("ingest.source: no folder 'cats'", ('give an existing folder',))
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd


@dataclass(frozen=True)
class Fault:
    """One of several faults, and what to do about it.

    ``field`` names the wrong value as the check knows it, and the message begins with it; it is empty if no single
    value is wrong. ``siblings`` names other values of the same section, which message and remedy mention in braces.
    A caller that knows the section and the line of params.yaml adds both:

    >>> fault = Fault("val is 2, but {test} is 1", "lower {test}", field="val", siblings=("test",))
    >>> print(fault)
    val is 2, but test is 1; lower test
    >>> print(fault.renamed(lambda field: f"split.{field}").at("params.yaml, line 3"))
    params.yaml, line 3: split.val is 2, but split.test is 1; lower split.test
    """

    message: str
    remedy: str = ""
    field: str = ""
    location: str = ""
    siblings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert self.message.startswith(self.field), (self.field, self.message)
        for sibling in self.siblings:
            assert f"{{{sibling}}}" in self.message + self.remedy, (sibling, self.message, self.remedy)

    def renamed(self, key_of: Callable[[str], str]) -> Fault:
        """The same fault with ``key_of`` applied to its field and its siblings; one without either is unchanged."""
        field = key_of(self.field) if self.field else ""
        message, remedy = field + self.message.removeprefix(self.field), self.remedy
        siblings = tuple(map(key_of, self.siblings))
        for old, new in zip(self.siblings, siblings, strict=True):
            message, remedy = (text.replace(f"{{{old}}}", f"{{{new}}}") for text in (message, remedy))
        return Fault(message, remedy, field, self.location, siblings)

    def at(self, location: str) -> Fault:
        """The same fault with a location."""
        return replace(self, location=location)

    def plain(self) -> Fault:
        """The same fault as it is printed, its siblings without braces."""
        message, remedy = self.message, self.remedy
        for sibling in self.siblings:
            message, remedy = (text.replace(f"{{{sibling}}}", sibling) for text in (message, remedy))
        return replace(self, message=message, remedy=remedy, siblings=())

    @property
    def located(self) -> str:
        """The printed message with its location."""
        message = self.plain().message
        return f"{self.location}: {message}" if self.location else message

    @property
    def advice(self) -> str:
        """The printed message with its remedy, without its location."""
        return str(replace(self, location=""))

    def __str__(self) -> str:
        return "; ".join(filter(None, (self.located, self.plain().remedy)))


class HallmarkError(Exception):
    """Any error with a message meant for the person at the keyboard.

    ``remedy`` is one remedy or several; ``remedies`` holds them in order, each once. ``field`` and ``siblings`` are
    those of :class:`Fault`; the field precedes the message. ``faults`` are those passed to :meth:`of`, else the error
    itself as one.
    """

    exit_code = 1

    def __init__(
        self, message: str, *, remedy: str | Sequence[str] = "", field: str = "", siblings: Sequence[str] = ()
    ) -> None:
        assert isinstance(remedy, str) or not siblings, "a fault with siblings has one remedy"
        remedies = (remedy,) if isinstance(remedy, str) else tuple(dict.fromkeys(filter(None, remedy)))
        fault = Fault(f"{field}: {message}" if field else message, "; ".join(remedies), field, "", tuple(siblings))
        plain = fault.plain()
        self.message = plain.message
        self.remedies = tuple(filter(None, (plain.remedy,) if siblings else remedies))
        self.faults: tuple[Fault, ...] = (fault,)
        self._head = ""
        super().__init__("; ".join((self.message, *self.remedies)))

    @property
    def remedy(self) -> str:
        """All remedies as one text, empty if there is none."""
        return "; ".join(self.remedies)

    def rename(self, key_of: Callable[[str], str]) -> None:
        """Renames each fault's field and siblings to ``key_of(field)``; a fault without either is unchanged."""
        renamed = self.of([fault.renamed(key_of) for fault in self.faults], head=self._head)
        self.args, self.message, self.faults = renamed.args, renamed.message, renamed.faults
        if any(fault.siblings for fault in self.faults):
            self.remedies = renamed.remedies

    @classmethod
    def of(cls, faults: Sequence[Fault], *, head: str = "") -> Self:
        """One error for several faults, one line each; a single fault keeps its own text.

        >>> error = InputError.of([Fault("a is 2", "give 1"), Fault("b is 3", "give 2")], head="params.yaml has ")
        >>> print(error)
        params.yaml has 2 faults:
          a is 2; give 1
          b is 3; give 2
        >>> error.remedies
        ('give 1', 'give 2')
        """
        if len(faults) == 1:
            error = cls(faults[0].located, remedy=faults[0].plain().remedy)
        else:
            lines = (f"{head}{len(faults)} faults:", *(fault.located for fault in faults))
            error = cls("\n  ".join(lines), remedy=[fault.plain().remedy for fault in faults])
            error.args = ("\n  ".join((lines[0], *map(str, faults))),)
        error.faults, error._head = tuple(faults), head
        return error


class InputError(HallmarkError, ValueError):
    """The user's input or params are wrong."""

    exit_code = 2


class GateRefused(HallmarkError):
    """A data gate refused the set.

    ``story`` holds what the refusal page explains (plain JSON values); ``ledger`` holds the rows so far, in the columns
    of :data:`hallmark.contracts.tables.LEDGER`.
    """

    exit_code = 3

    def __init__(
        self,
        message: str,
        *,
        remedy: str | Sequence[str] = "",
        story: Mapping[str, Any] | None = None,
        ledger: pd.DataFrame | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.story = dict(story or {})
        self.ledger = ledger


class MachineError(HallmarkError):
    """Disk full, another run active, no permission."""

    exit_code = 4
