"""The errors a user can meet, and the exit code of each.

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
    from collections.abc import Mapping, Sequence

    import pandas as pd


@dataclass(frozen=True)
class Fault:
    """One of several things that are wrong, and what to do about it."""

    message: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message


class HallmarkError(Exception):
    """Any error with a message meant for the person at the keyboard.

    ``remedy`` is one remedy or several; ``remedies`` holds them all, in the order given, each once.
    """

    exit_code = 1

    def __init__(self, message: str, *, remedy: str | Sequence[str] = "") -> None:
        given = (remedy,) if isinstance(remedy, str) else tuple(remedy)
        self.message = message
        self.remedies = tuple(dict.fromkeys(each for each in given if each))
        super().__init__("; ".join((message, *self.remedies)))

    @property
    def remedy(self) -> str:
        """All remedies as one text, empty if there is none."""
        return "; ".join(self.remedies)

    @classmethod
    def of(cls, faults: Sequence[Fault], *, head: str = "") -> Self:
        """One error for several faults, each on a line of its text; of a single fault, that fault's own.

        >>> error = InputError.of([Fault("a is 2", "give 1"), Fault("b is 3", "give 2")], head="params.yaml has ")
        >>> print(error)
        params.yaml has 2 faults:
          a is 2; give 1
          b is 3; give 2
        >>> error.remedies
        ('give 1', 'give 2')
        """
        if len(faults) == 1:
            return cls(faults[0].message, remedy=faults[0].remedy)
        title = f"{head}{len(faults)} faults:"
        made = cls("\n  ".join((title, *(fault.message for fault in faults))), remedy=[each.remedy for each in faults])
        made.args = ("\n  ".join((title, *map(str, faults))),)
        return made


class InputError(HallmarkError, ValueError):
    """The user's input or params are wrong."""

    exit_code = 2


class GateRefused(HallmarkError):
    """A data gate refused the set.

    ``story`` is what a page needs to explain it (plain JSON values); ``ledger`` the rows known so far, in the
    columns of :data:`hallmark.contracts.tables.LEDGER`.
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
