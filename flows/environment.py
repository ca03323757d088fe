"""What has to be in the environment before prefect, mlflow or dvc are imported."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
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
    """SIGTERM ends the block as Ctrl+C does, so that what runs can save its state; both exit with 128 + the signal.

    ``words`` are then said on standard error.
    """

    def stop(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        if words:
            sys.stderr.write(f"hallmark: {words}\n")
        raise SystemExit(128 + signal.SIGINT) from None
    finally:
        signal.signal(signal.SIGTERM, previous)
