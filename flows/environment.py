"""What has to be in the environment before prefect, mlflow or dvc are imported."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hallmark.contracts import runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psutil

    from flows.console import Console

LOCAL_PREFECT = {
    # a fresh home migrates its database, which takes longer than Prefect's default of 20 s on a busy machine
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_EPHEMERAL_ENABLED": "true",
    # the terminal has lines of our own; the log still reaches the server whole
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
}

GRACE = 5.0  # seconds that what runs has to end after Ctrl+C or SIGTERM


def prepare(root: Path) -> None:
    """Silences what phones home, and keeps Prefect in the workspace unless the user has a Prefect of their own."""
    runtime.prepare()
    if not users_own_prefect():
        os.environ.setdefault("PREFECT_HOME", str(runtime.state(root).resolve() / "prefect"))
    for name, value in LOCAL_PREFECT.items():
        os.environ.setdefault(name, value)


def users_own_prefect() -> bool:
    """Whether the environment or the home folder points at a Prefect set up by the user."""
    configured = any(os.environ.get(name) for name in ("PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_HOME"))
    return configured or (Path.home() / ".prefect" / "profiles.toml").exists()


def writes_to(root: Path) -> list[Path]:
    """The folders that a flow writes to: the workspace, and Prefect's home where a run starts a server there."""
    home = os.environ.get("PREFECT_HOME")
    return [root] if users_have_server() or home is None else [root, Path(home).expanduser()]


def users_have_server() -> bool:
    """Whether a running Prefect server is named by the environment or by the user's profile."""
    if os.environ.get("PREFECT_API_URL"):
        return True
    if not users_own_prefect():
        return False
    from prefect.settings import get_current_settings

    return get_current_settings().api.url is not None


def recover(root: Path, console: Console) -> None:
    """Sets right what killed runs left in the workspace, which the caller holds, and tells of it."""
    from hallmark.versioning import health

    for finding in health.recover(root):
        if finding.recovered:
            console.warn(finding.message)
    end_abandoned(root)


def end_abandoned(root: Path) -> None:
    """Ends the servers that Prefect started for runs that were killed since: nothing else ever would.

    For a caller that holds the workspace, to which they belong by Prefect's home.
    """
    import psutil

    home = str(runtime.state(root).resolve() / "prefect")
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # it ended, or is another user's
            if "uvicorn" not in process.cmdline():
                continue
            surroundings = process.environ()
            if surroundings.get("PREFECT_HOME") != home or "PREFECT__SERVER_EPHEMERAL" not in surroundings:
                continue
            parent = process.parent()
            if parent is None or not _runs_python(parent):
                process.kill()


def _runs_python(process: psutil.Process) -> bool:
    """Whether its program is Python; its name does not tell, as test runners and task queues change theirs."""
    import psutil

    try:
        return Path(process.exe()).name.lower().startswith("python")
    except psutil.AccessDenied:  # init, or another user's: no run of this user
        return False


@contextmanager
def interruptible(words: str = "") -> Iterator[None]:
    """Ctrl+C and SIGTERM end the block, so that what runs can save its state; both exit with 128 + the signal.

    ``words`` are said on standard error after Ctrl+C. See :func:`end_in_time` for what does not end by itself. A signal
    that is ignored, as Ctrl+C is by what a script starts in the background, stays ignored.
    """

    def interrupt(number: int, _frame: object) -> None:
        if not interrupted.is_set():
            interrupted.set()
            if words:
                sys.stderr.write(f"hallmark: {words}\n")
            end_in_time(number)
        raise KeyboardInterrupt

    interrupted = threading.Event()
    handlers = {signal.SIGINT: interrupt, signal.SIGTERM: _terminate}
    heard = [number for number in handlers if signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, handlers[number]) for number in heard}
    try:
        yield
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM as in :func:`interruptible`, for the body of a flow: Prefect's own handler tells its server first."""
    if threading.current_thread() is not threading.main_thread():  # where no signal is handled, by Prefect neither
        yield
        return
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _terminate(number: int, _frame: object) -> None:
    end_in_time(number)
    raise SystemExit(128 + number)


def end_in_time(number: int) -> None:
    """Ends the process :data:`GRACE` seconds from now by that signal, whatever it still does.

    Ctrl+C in a terminal, and SIGTERM where a service is stopped, end the server that Prefect started as well, for which
    Prefect waits for minutes, and at last without end. Nothing is lost: every file is written whole or not at all, and
    the next run sets right what Prefect and MLflow were not told.
    """
    # what Prefect says of its server
    logging.disable(logging.CRITICAL)
    logging.raiseExceptions = False
    last = threading.Timer(GRACE, _leave, (number,))
    last.daemon = True
    last.start()


def _leave(number: int) -> None:
    """Ends the process and those that it started, without what Python and its libraries would still do at its end."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            child.kill()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(128 + number)
