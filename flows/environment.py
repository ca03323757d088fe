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

LOCAL_PREFECT = {
    # a fresh home migrates its database, which takes longer than Prefect's default of 20 s on a busy machine
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_EPHEMERAL_ENABLED": "true",
    # the terminal has lines of our own; the log still reaches the server whole
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
}

GRACE = 5.0  # seconds that what runs has to end after Ctrl+C


def prepare(root: Path) -> None:
    """Silences what phones home, and keeps Prefect in the workspace unless the user has a Prefect of their own."""
    runtime.prepare()
    if not users_own_prefect():
        os.environ.setdefault("PREFECT_HOME", str(runtime.state(root).resolve() / "prefect"))
    for name, value in LOCAL_PREFECT.items():
        os.environ.setdefault(name, value)


def users_own_prefect() -> bool:
    """Whether the environment or the home folder points at a Prefect set up by the user."""
    given = any(os.environ.get(name) for name in ("PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_HOME"))
    return given or (Path.home() / ".prefect" / "profiles.toml").exists()


def users_have_server() -> bool:
    """Whether a running Prefect server is named by the environment or by the user's profile."""
    if os.environ.get("PREFECT_API_URL"):
        return True
    if not users_own_prefect():
        return False
    from prefect.settings import get_current_settings

    return get_current_settings().api.url is not None


@contextmanager
def interruptible(words: str = "") -> Iterator[None]:
    """Ctrl+C and SIGTERM end the block, so that what runs can save its state; both exit with 128 + the signal.

    ``words`` are then said on standard error. :data:`GRACE` after Ctrl+C the process ends, whatever it still does: in a
    terminal Ctrl+C has also ended the server that Prefect started, for which Prefect waits for minutes, and at last
    without end. Nothing is lost by it: every file is written whole or not at all, and the next run sets right what
    Prefect and MLflow were not told. A signal that is ignored, as Ctrl+C is by what a script starts in the background,
    stays ignored.
    """

    def stop(number: int, _frame: object) -> None:
        if number == signal.SIGTERM:
            raise SystemExit(128 + number)
        if not asked.is_set():
            asked.set()
            logging.disable(logging.CRITICAL)  # what Prefect says of its server
            if words:
                sys.stderr.write(f"hallmark: {words}\n")
            last = threading.Timer(GRACE, _leave)
            last.daemon = True
            last.start()
        raise KeyboardInterrupt

    asked = threading.Event()
    heard = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, stop) for number in heard}
    try:
        yield
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _leave() -> None:
    """Ends the process and those that it started, without what Python and its libraries would still do at its end."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            child.kill()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(128 + signal.SIGINT)
