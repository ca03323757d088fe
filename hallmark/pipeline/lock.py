"""One run at a time in a workspace: an advisory lock that the kernel frees when its holder dies."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hallmark.contracts.errors import MachineError
from hallmark.contracts.runtime import state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def exclusive(root: Path, purpose: str) -> Iterator[None]:
    """Locks the workspace for the block. Raises MachineError that names the holder if another run has locked it."""
    with (state(root) / "lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise MachineError(
                f"another run is active in this workspace ({holder})", remedy="wait for it, or stop it, and run again"
            ) from error
        file.truncate(0)
        file.write(f"{purpose}, process {os.getpid()}")
        file.flush()
        yield
        file.truncate(0)


def holder(root: Path) -> str | None:
    """The purpose and process that hold the lock, or None."""
    path = state(root) / "lock"
    if not path.exists():
        return None
    with path.open("r+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read().strip() or "another process"
        return None
