"""The errors a user can see, and the exit code of each.

    Exception
    └── HallmarkError          1  our fault
        ├── InputError         2  the user's input or params are wrong (also a ValueError)
        ├── GateRefused        3  files were found and accounted for, but a gate refused them
        └── MachineError       4  the machine is in the way: disk full, another run active, no permission

An error keeps what is wrong (``message``) apart from what to do about it (``remedies``); its text is both.

>>> error = InputError("ingest.source: no folder 'cats'", remedy="give an existing folder")
>>> error
InputError("ingest.source: no folder 'cats'; give an existing folder")
>>> error.message, error.remedies
("ingest.source: no folder 'cats'", ('give an existing folder',))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd


@dataclass(frozen=True)
class Fault:
    """One of several faults, and what to do about it.

    ``field`` names the wrong value as the check knows it, and the message begins with it; it is empty if no single
    value is wrong. A caller that knows the section and the line of params.yaml adds both:

    >>> print(Fault("val is 2, above 1", "give 1 or less", field="val").at("split.val", "params.yaml, line 3"))
    params.yaml, line 3: split.val is 2, above 1; give 1 or less
    """

    message: str
    remedy: str = ""
    field: str = ""
    location: str = ""

    def __post_init__(self) -> None:
        assert self.message.startswith(self.field), (self.field, self.message)

    def at(self, field: str, location: str = "") -> Fault:
        """The same fault with its field renamed, at a location; a fault without a field gets only the location."""
        message, name = (field + self.message.removeprefix(self.field), field) if self.field else (self.message, "")
        return Fault(message, self.remedy, name, location)

    @property
    def located(self) -> str:
        """The message with its location."""
        return f"{self.location}: {self.message}" if self.location else self.message

    @property
    def advice(self) -> str:
        """The message with its remedy, without its location."""
        return f"{self.message}; {self.remedy}" if self.remedy else self.message

    def __str__(self) -> str:
        return f"{self.located}; {self.remedy}" if self.remedy else self.located


class HallmarkError(Exception):
    """Any error with a message meant for the person at the keyboard.

    ``remedy`` is one remedy or several; ``remedies`` holds them in order, each once. ``faults`` are those passed to
    :meth:`of`, else the error itself as one.
    """

    exit_code = 1

    def __init__(self, message: str, *, remedy: str | Sequence[str] = "") -> None:
        remedies = (remedy,) if isinstance(remedy, str) else tuple(remedy)
        self.message = message
        self.remedies = tuple(dict.fromkeys(each for each in remedies if each))
        self.faults: tuple[Fault, ...] = (Fault(message, self.remedy),)
        self._head = ""
        super().__init__("; ".join((message, *self.remedies)))

    @property
    def remedy(self) -> str:
        """All remedies as one text, empty if there is none."""
        return "; ".join(self.remedies)

    def rename(self, key_of: Callable[[str], str]) -> None:
        """Renames each fault's field to ``key_of(field)``; a fault without a field is unchanged."""
        named = self.of([fault.at(key_of(fault.field), fault.location) for fault in self.faults], head=self._head)
        self.args, self.message, self.faults = named.args, named.message, named.faults

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
            error = cls(faults[0].located, remedy=faults[0].remedy)
        else:
            lines = (f"{head}{len(faults)} faults:", *(fault.located for fault in faults))
            error = cls("\n  ".join(lines), remedy=[fault.remedy for fault in faults])
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
