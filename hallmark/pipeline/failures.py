"""What a person is told of an exception that ended a command: one message, an exit code, and a log with the traceback.

Libraries wrap what the system says (SQLAlchemy a full disk, MLflow a server that is gone), so that an exception is
looked through, with its causes, for one that says that the machine is in the way.
"""

from __future__ import annotations

import os
import platform
import re
import sys
import tempfile
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hallmark.contracts.errors import GateRefused, HallmarkError, InputError, MachineError
from hallmark.contracts.runtime import STATE
from hallmark.pipeline.machine import as_machine_error, hides_full_disk, links

if TYPE_CHECKING:
    from collections.abc import Iterator

KEEP = 20  # logs
REPORT = "this is a fault of Hallmark, not yours: please report it"
_PASSWORD = re.compile(r"(://)[^@\s'\"]*@")
# whose exceptions, under an error of ours, say more than its message does
_LIBRARIES = ("dvc", "dvc_data", "dvc_objects", "mlflow", "prefect", "sqlalchemy", "great_expectations", "lightning")


def as_hallmark_error(error: BaseException, where: str = "") -> HallmarkError:
    """The error of ours that an exception amounts to: itself, one that a library wrapped, or one that says what it is.

    ``where`` (a stage, a command) begins the message of an error of the machine.
    """
    if isinstance(error, HallmarkError):
        if not isinstance(error, MachineError | GateRefused) and hides_full_disk(error):
            return as_machine_error(error, where) or error
        return error
    for each in _causes(error):
        if isinstance(each, HallmarkError):
            return each
    machine = as_machine_error(error, where)
    if machine is not None:
        return machine
    said = str(error).strip().splitlines()
    return HallmarkError(f"unexpected {type(error).__name__}" + (f": {said[0]}" if said else ""))


def log_and_describe(error: BaseException, *, command: str, root: Path) -> tuple[str, int]:
    """The message for a person, and the exit code; the traceback goes to a log that the message names.

    Wrong input and a gate's refusal say all there is to say: of them no log is kept, unless a library's exception is
    behind it.
    """
    found = as_hallmark_error(error, command)
    if found.exit_code in (InputError.exit_code, GateRefused.exit_code) and not _has_library(error):
        return str(found), found.exit_code
    log: Path | None = None
    try:
        log = write_log(error, command=command, root=root)
        place = f"{_shown(log, root)} has the traceback"
    except OSError as second:
        place = f"no log of it could be written ({second.strerror})"
    if found.exit_code == HallmarkError.exit_code:
        return "; ".join((str(found), f"{REPORT}, with the file {log}" if log else f"{REPORT} ({place})")), 1
    return f"{found}; {place}", found.exit_code


def report(error: Exception, *, program: str, command: str) -> int:
    """Tells an exception on standard error, at the top of a program; its exit code."""
    try:
        root = Path.cwd()
    except FileNotFoundError:  # the folder was removed under the program
        root = Path(tempfile.gettempdir())
    message, code = log_and_describe(error, command=command, root=root)
    with suppress(OSError):  # standard error is closed, or on the full disk itself: the exit code is left
        sys.stderr.write(f"{program}: {message.removeprefix(f'{program}: ')}\n")
        sys.stderr.flush()
    try:
        sys.stdout.flush()
    except OSError:
        # Python would try once more at its end, and exit with a code of its own
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def write_log(error: BaseException, *, command: str, root: Path) -> Path:
    """Writes the traceback to a new file of the workspace's logs, or, if that cannot be, of the system's folder for
    temporary files; the file. The newest :data:`KEEP` logs are left. Passwords in addresses are left out."""
    now = datetime.now(UTC)
    text = (
        f"when      {now.isoformat(timespec='seconds')}\n"
        f"command   {' '.join(sys.argv)}\n"
        f"python    {platform.python_version()} on {platform.platform()}\n\n"
        + "".join(traceback.format_exception(error))
    )
    text = _PASSWORD.sub(r"\1…@", text)
    name = f"{now:%Y%m%dT%H%M%S.%f}-{command}-{os.getpid()}.log"
    try:
        return _write(root / STATE / "logs", name, text)
    except OSError:
        return _write(Path(tempfile.gettempdir()) / f"hallmark-logs-{os.getuid()}", name, text)


def _write(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / name
    try:
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError:
        path.unlink(missing_ok=True)
        raise
    for old in sorted(folder.glob("*.log"))[:-KEEP]:
        old.unlink(missing_ok=True)
    return path


def _causes(error: BaseException) -> Iterator[BaseException]:
    """What an exception was raised from, and the parts of a group; not what merely was being handled."""
    return (each for each, explicit in links(error) if explicit)


def _has_library(error: BaseException) -> bool:
    return any(type(each).__module__.partition(".")[0] in _LIBRARIES for each, _ in links(error))


def _shown(log: Path, root: Path) -> str:
    return str(log.relative_to(root)) if log.is_relative_to(root) else str(log)
