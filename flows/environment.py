"""Environment variables to set before prefect, mlflow or dvc are imported; signals; recovery after a kill."""

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
    # Hallmark prints its own lines; the server still receives the whole log
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
}

GRACE = 5.0  # seconds for the work to end after Ctrl+C or SIGTERM


def prepare(root: Path) -> None:
    """Disables telemetry and, unless the user has configured Prefect, keeps its home in the workspace."""
    runtime.prepare()
    if not users_own_prefect():
        os.environ.setdefault("PREFECT_HOME", str(runtime.state(root).resolve() / "prefect"))
    for name, value in LOCAL_PREFECT.items():
        os.environ.setdefault(name, value)


def users_own_prefect() -> bool:
    """Whether the user has configured Prefect, in the environment or in the home folder."""
    configured = any(os.environ.get(name) for name in ("PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_HOME"))
    return configured or (Path.home() / ".prefect" / "profiles.toml").exists()


def writes_to(root: Path) -> list[Path]:
    """The folders that a flow writes to: the workspace and, if a run starts its own server, Prefect's home."""
    home = os.environ.get("PREFECT_HOME")
    return [root] if users_have_server() or home is None else [root, Path(home).expanduser()]


def users_have_server() -> bool:
    """Whether the environment or the user's profile names a Prefect server."""
    if os.environ.get("PREFECT_API_URL"):
        return True
    if not users_own_prefect():
        return False
    from prefect.settings import get_current_settings

    return get_current_settings().api.url is not None


def recover(root: Path, console: Console) -> None:
    """Recovers the workspace, which the caller has locked, from killed runs, and prints what it did."""
    from hallmark.versioning import health

    for finding in health.recover(root):
        if finding.recovered:
            console.warn(finding.message)
    end_abandoned(root)


def end_abandoned(root: Path) -> None:
    """Kills the servers that Prefect started for runs that were killed; they would otherwise run forever.

    The caller holds the workspace's lock. A server belongs to the workspace if its Prefect home is there.
    """
    import psutil

    home = str(runtime.state(root).resolve() / "prefect")
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # the process has ended or is another user's
            if "uvicorn" not in process.cmdline():
                continue
            variables = process.environ()
            if variables.get("PREFECT_HOME") != home or "PREFECT__SERVER_EPHEMERAL" not in variables:
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
def interruptible(message: str = "") -> Iterator[None]:
    """Ctrl+C and SIGTERM raise in the block, which can save its state; the exit status is 128 + the signal.

    ``message`` is printed to standard error after Ctrl+C. :func:`end_in_time` ends work that does not stop. An ignored
    signal stays ignored: a script's background processes ignore Ctrl+C.
    """

    def interrupt(number: int, _frame: object) -> None:
        if not interrupted.is_set():
            interrupted.set()
            if message:
                sys.stderr.write(f"hallmark: {message}\n")
            end_in_time(number)
        raise KeyboardInterrupt

    interrupted = threading.Event()
    handlers = {signal.SIGINT: interrupt, signal.SIGTERM: _terminate}
    active = [number for number in handlers if signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, handlers[number]) for number in active}
    try:
        yield
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def terminable() -> Iterator[None]:
    """Handles SIGTERM as :func:`interruptible` does, in a flow's body: Prefect's handler calls its server first."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread handles signals
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
    """Ends the process within :data:`GRACE` seconds with the signal's exit status, whatever it is doing.

    Ctrl+C in a terminal, and SIGTERM from a service manager, also end Prefect's server, and Prefect then waits for it
    for minutes or forever. Nothing is lost: files are written atomically, and the next run corrects the states in
    Prefect and MLflow.
    """
    # silences Prefect's errors about its server
    logging.disable(logging.CRITICAL)
    logging.raiseExceptions = False
    last = threading.Timer(GRACE, _leave, (number,))
    last.daemon = True
    last.start()


def _leave(number: int) -> None:
    """Ends the process and its children at once, without the exit handlers of Python and its libraries."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            child.kill()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(128 + number)
