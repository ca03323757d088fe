"""The errors a user can meet, and the exit code of each.

    Exception
    └── HallmarkError          1  our fault
        ├── InputError         2  the user's input or params are wrong (also a ValueError)
        ├── GateRefused        3  files were found and accounted for, but a gate refused them
        └── MachineError       4  the machine is in the way: disk full, another run active, no permission

A message says what is wrong, where, and what to do about it.

>>> InputError("ingest.source: no folder 'cats'", remedy="give an existing folder")
InputError("ingest.source: no folder 'cats'; give an existing folder")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd


class HallmarkError(Exception):
    """Any error with a message meant for the person at the keyboard."""

    exit_code = 1

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(f"{message}; {remedy}" if remedy else message)


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
        remedy: str = "",
        story: Mapping[str, Any] | None = None,
        ledger: pd.DataFrame | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.story = dict(story or {})
        self.ledger = ledger


class MachineError(HallmarkError):
    """Disk full, another run active, no permission."""

    exit_code = 4
