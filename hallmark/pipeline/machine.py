"""Recognizes exceptions that mean a machine fault: a full disk, no permission, no memory, a lost server.

Libraries hide the system's error number: SQLAlchemy wraps sqlite3, which has only a message; MLflow and Prefect wrap
the HTTP client's error; compiled code (Arrow, safetensors, torch) puts the system's text into a message.
"""

from __future__ import annotations

import errno
import shutil
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hallmark.contracts.errors import HallmarkError, MachineError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPACE = 32 << 20  # bytes for the databases of Prefect and MLflow and the outputs of a small data set
FULL = (errno.ENOSPC, errno.EDQUOT)
_DISK = (*FULL, errno.EROFS, errno.EIO)
MACHINE = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "no permission",
    errno.EPERM: "no permission",
    errno.EMFILE: "too many open files",
    errno.ENFILE: "too many open files",
    errno.EIO: "the disk reports an error",
    errno.ENOMEM: "not enough memory",
}
# the lower-case text of those errors in the messages of libraries
_WORDS = {
    "no space left on device": errno.ENOSPC,
    "database or disk is full": errno.ENOSPC,
    "unexpected pos ": errno.ENOSPC,  # torch's writer, if a file stops growing
    " requested and ": errno.ENOSPC,  # numpy: "800 requested and 200 written"
    "disk quota exceeded": errno.EDQUOT,
    "read-only file system": errno.EROFS,
    "attempt to write a readonly database": errno.EACCES,
    "unable to open database file": errno.EACCES,
    "permission denied": errno.EACCES,
    "disk i/o error": errno.EIO,
    "input/output error": errno.EIO,
    "cannot allocate memory": errno.ENOMEM,
    "too many open files": errno.EMFILE,
}
_CLIENTS = ("httpx", "httpcore", "requests", "urllib3")
_NOT_OURS = (401, 403, 407, 429)  # statuses, besides 500 and above, that concern the server
_SERVER = "check that it runs and can be reached, and run again; `hallmark doctor` checks every server"


def as_machine_error(error: BaseException, context: str = "") -> MachineError | None:
    """The error as a MachineError, None if it is of another kind. ``context`` begins the message."""
    begin = f"{context}: " if context else ""
    everything = list(links(error))
    chain = [each for each, explicit in everything if explicit]
    for each in chain:
        if isinstance(each, MachineError):
            return each
    # an exception that was being handled may be resolved, so of those only disk errors count
    handled = [numbered for each, explicit in everything if not explicit and (numbered := _number(each))[0] in _DISK]
    # an error number is more precise than the message of a library error raised from it
    for number, file in (*map(_number, chain), *handled, *map(_number_in_words, chain)):
        if number is not None:
            words = f"{begin}{MACHINE[number]}" + (f" ({file})" if file else "")
            return MachineError(words, remedy=f"{_remedy(number)}: earlier outputs are untouched")
    for each in chain:
        if isinstance(each, MemoryError) or type(each).__name__ == "OutOfMemoryError":
            words = f"{begin}not enough memory ({_first(each)})" if str(each) else f"{begin}not enough memory"
            return MachineError(words, remedy=_remedy(errno.ENOMEM))
        if isinstance(each, BrokenProcessPool):
            return MachineError(
                f"{begin}a worker process was killed, perhaps for lack of memory", remedy=_remedy(errno.ENOMEM)
            )
        silent = _silent_server(each)
        if silent:
            return MachineError(f"{begin}{silent}", remedy=_SERVER)
    return None


def require_space(*folders: Path, need: int = SPACE) -> None:
    """Raises MachineError if the disk of a folder, which need not exist, has fewer than ``need`` bytes free."""
    for folder in folders:
        while not folder.exists():
            folder = folder.parent
        free = shutil.disk_usage(folder).free
        if free < need:
            raise MachineError(
                f"{free / 2**20:.1f} MiB are free on the disk of {folder}, and a run takes at least {need >> 20} MiB",
                remedy="free some space and run again: earlier outputs are untouched",
            )


def hides_full_disk(error: BaseException) -> bool:
    """Whether a disk error (full, read-only, failing) is among the causes of an error."""
    causes = [each for each, explicit in links(error) if explicit]
    return any(number in _DISK for number, _ in (*map(_number, causes), *map(_number_in_words, causes)))


def links(error: BaseException) -> Iterator[tuple[BaseException, bool]]:
    """An exception, its causes, the parts of groups and those being handled when it was raised, each once.

    The flag says whether causes and groups alone lead to it.
    """
    visited: set[int] = set()
    waiting: list[tuple[BaseException, bool]] = [(error, True)]
    while waiting:
        each, explicit = waiting.pop(0)
        if id(each) in visited:
            continue
        visited.add(id(each))
        yield each, explicit
        if isinstance(each, BaseExceptionGroup):
            waiting.extend((part, explicit) for part in each.exceptions)
        if each.__cause__ is not None:
            waiting.append((each.__cause__, explicit))
        elif each.__context__ is not None and not each.__suppress_context__:
            waiting.append((each.__context__, False))


def _number(error: BaseException) -> tuple[int | None, str]:
    """The system's error number, if it means a machine fault, and the file concerned."""
    if isinstance(error, OSError) and error.errno in MACHINE:
        return error.errno, str(error.filename or "")
    return None, ""


def _number_in_words(error: BaseException) -> tuple[int | None, str]:
    """The error number that a library's message implies, if the library keeps none, and the message."""
    if isinstance(error, HallmarkError) or (isinstance(error, OSError) and error.errno is not None):
        return None, ""
    if isinstance(error, OSError | RuntimeError) or type(error).__module__ != "builtins":
        text = str(error).lower()
        for words, number in _WORDS.items():
            if words in text:
                return number, _first(error)
    return None, ""


def _remedy(number: int) -> str:
    if number in FULL:
        return "free some space and run again"
    if number == errno.ENOMEM:
        return "close other programs, or use fewer --workers and --jobs, and run again"
    if number in (errno.EMFILE, errno.ENFILE):
        return "raise the limit (`ulimit -n 4096`) and run again"
    if number == errno.EIO:
        return "check the system's log, move the workspace to another disk and run again"
    if number == errno.EROFS:
        return "make it writable, or move the workspace, and run again"
    return "give yourself access to it and run again"


def _silent_server(error: BaseException) -> str:
    """The message for an HTTP client's error that means a server is down or failing, empty for any other error."""
    room = type(error).__module__.partition(".")[0]
    response: Any = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if status is not None:
        ours = not (status >= 500 or status in _NOT_OURS)
        return "" if ours else f"the server at {_address(error)} answers with status {status}"
    if room in _CLIENTS:
        return f"the server at {_address(error)} does not answer ({_first(error)})"
    if room == "mlflow" and "API request to " in str(error):
        return f"MLflow's server does not answer ({_first(error)})"
    if type(error).__name__ == "RestException" and getattr(error, "error_code", "") in (
        "INTERNAL_ERROR",
        "TEMPORARILY_UNAVAILABLE",
        "PERMISSION_DENIED",
        "UNAUTHENTICATED",
    ):
        return f"MLflow's server answers: {_first(error)}"
    if isinstance(error, ConnectionError):
        return f"a server does not answer ({_first(error)})"
    return ""


def _address(error: BaseException) -> str:
    try:
        url = str(getattr(error, "request").url)  # noqa: B009  it raises where httpx has none
    except (AttributeError, RuntimeError):
        return "an unknown address"
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _first(error: BaseException) -> str:
    """The first line of a message, at most 300 characters."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
