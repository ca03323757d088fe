"""Reports an exception that ends a command: one message, an exit code, and a log with the traceback.

Libraries wrap system errors (SQLAlchemy a full disk, MLflow a lost server), so the causes of an exception are searched
for one that means a machine fault.
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
# libraries whose exceptions, as the cause of one of our errors, say more than its message
_LIBRARIES = ("dvc", "dvc_data", "dvc_objects", "mlflow", "prefect", "sqlalchemy", "great_expectations", "lightning")


def as_hallmark_error(error: BaseException, context: str = "") -> HallmarkError:
    """The exception itself if it is a HallmarkError, else one that a library wrapped, else a new one that describes it.

    ``context`` (a stage, a command) begins the message of a MachineError.
    """
    if isinstance(error, HallmarkError):
        if not isinstance(error, MachineError | GateRefused) and hides_full_disk(error):
            return as_machine_error(error, context) or error
        return error
    for each in _causes(error):
        if isinstance(each, HallmarkError):
            return each
    machine = as_machine_error(error, context)
    if machine is not None:
        return machine
    lines = str(error).strip().splitlines()
    return HallmarkError(f"unexpected {type(error).__name__}" + (f": {lines[0]}" if lines else ""))


def log_and_describe(error: BaseException, *, command: str, root: Path) -> tuple[str, int]:
    """(message, exit code); writes the traceback to a log that the message names.

    Wrong input and a gate's refusal need no log, unless a library's exception caused them.
    """
    failure = as_hallmark_error(error, command)
    if failure.exit_code in (InputError.exit_code, GateRefused.exit_code) and not _has_library(error):
        return str(failure), failure.exit_code
    log: Path | None = None
    try:
        log = write_log(error, command=command, root=root)
        note = f"{_shown(log, root)} has the traceback"
    except OSError as second:
        note = f"no log of it could be written ({second.strerror})"
    if failure.exit_code == HallmarkError.exit_code:
        return "; ".join((str(failure), f"{REPORT}, with the file {log}" if log else f"{REPORT} ({note})")), 1
    return f"{failure}; {note}", failure.exit_code


def report(error: Exception, *, program: str, command: str) -> int:
    """Prints an exception to standard error at the top level of a program; returns the exit code."""
    try:
        root = Path.cwd()
    except FileNotFoundError:  # the folder was removed under the program
        root = Path(tempfile.gettempdir())
    message, code = log_and_describe(error, command=command, root=root)
    with suppress(OSError):  # standard error is closed or on the full disk: the exit code must do
        sys.stderr.write(f"{program}: {message.removeprefix(f'{program}: ')}\n")
        sys.stderr.flush()
    try:
        sys.stdout.flush()
    except OSError:
        # Python would retry at exit and replace our exit code
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def write_log(error: BaseException, *, command: str, root: Path) -> Path:
    """Writes the traceback, without passwords in addresses, to a new log file and returns its path.

    The log goes to the workspace, else to the system's temporary folder; the newest :data:`KEEP` logs are kept.
    """
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
    """An exception, its explicit causes and the parts of groups; not those being handled when it was raised."""
    return (each for each, explicit in links(error) if explicit)


def _has_library(error: BaseException) -> bool:
    return any(type(each).__module__.partition(".")[0] in _LIBRARIES for each, _ in links(error))


def _shown(log: Path, root: Path) -> str:
    return str(log.relative_to(root)) if log.is_relative_to(root) else str(log)
