"""``hallmark schedule``: a deployment of the training flow, served until it is stopped.

Without a Prefect server of the user's (``PREFECT_API_URL`` or a profile) one is started for as long as the deployment
is served, on loopback, with its page, its database in ``.hallmark/prefect``.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flows import prefect_server
from hallmark.contracts.errors import InputError, MachineError
from hallmark.contracts.runtime import state
from hallmark.tracking import reachability

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

START_SECONDS = 180


def serve_schedule(root: Path, *, cron: str, name: str, say: Callable[[str], None]) -> None:
    """Blocks until SIGINT or SIGTERM. Raises InputError for a cron line that cannot be read."""
    check_cron(cron)
    prefect_server.check()
    reachability.check()
    with server(root, say):
        from flows.training import training, workspace_tags

        say(f"Deployment training/{name}: '{cron}' (UTC). Stop with Ctrl+C.")
        training.serve(
            name=name,
            cron=cron,
            tags=workspace_tags(root),
            description="From the images of the source to a registered model.",
            limit=1,
            print_starting_message=False,
        )


def check_cron(cron: str) -> None:
    """Raises InputError for a cron line that Prefect would refuse."""
    from prefect.client.schemas.schedules import CronSchedule

    try:
        CronSchedule(cron=cron)
    except ValueError as error:
        raise InputError(
            f"--cron is '{cron}', which is no cron line",
            remedy='give five fields: minute hour day month weekday, such as "0 3 * * *"',
        ) from error


@contextmanager
def server(root: Path, say: Callable[[str], None]) -> Iterator[None]:
    """A Prefect server for the block: the user's own where there is one, else one started here."""
    from flows.environment import users_have_server

    if users_have_server():
        yield
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    log = state(root) / "prefect-server.log"
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait(process, f"{address}/api/health", log)
            from prefect.settings import PREFECT_API_URL, temporary_settings

            # for the processes of the runs; Prefect here has read its settings, and would start a second server
            os.environ["PREFECT_API_URL"] = f"{address}/api"
            with temporary_settings({PREFECT_API_URL: f"{address}/api"}):
                say(f"Prefect server with its page: {address}")
                yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    import httpx

    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if httpx.get(address, timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.3)
    raise MachineError(f"Prefect's server did not start; its log: {log}", remedy="mend what it says and run again")
