"""``hallmark schedule``: serves a deployment of the training flow until it is stopped.

Unless ``PREFECT_API_URL`` or a profile names a server, one runs on loopback for as long as the deployment is served,
with its UI and with its database in ``.hallmark/prefect``.
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
PORT = 4200  # Prefect's default


def serve_schedule(root: Path, *, cron: str, name: str, port: int | None, say: Callable[[str], None]) -> None:
    """Blocks until SIGINT or SIGTERM. ``port`` is the UI's; None means 4200, or any free port if that is in use.

    Raises InputError for an invalid cron line and MachineError for a port in use.
    """
    check_cron(cron)
    prefect_server.check()
    reachability.check()
    with server(root, say, port=port) as api:
        from prefect.types.entrypoint import EntrypointType

        from flows.training import training, workspace_tags

        say(f"Command line: PREFECT_API_URL={api} prefect deployment ls")
        say(f"Deployment training/{name}: '{cron}' (UTC). Stop with Ctrl+C.")
        training.serve(
            name=name,
            cron=cron,
            tags=workspace_tags(root),
            description="Trains and registers a model from the images of the source.",
            limit=1,
            print_starting_message=False,
            # the module, not its file: a workspace holds no code
            entrypoint_type=EntrypointType.MODULE_PATH,
        )


def check_cron(cron: str) -> None:
    """Raises InputError for a cron line that Prefect would reject."""
    from prefect.client.schemas.schedules import CronSchedule

    try:
        CronSchedule(cron=cron)
    except ValueError as error:
        raise InputError(
            f"--cron is '{cron}', which is not a valid cron line",
            remedy='give five fields: minute hour day month weekday, for example "0 3 * * *"',
        ) from error


@contextmanager
def server(root: Path, say: Callable[[str], None], *, port: int | None = None) -> Iterator[str]:
    """Yields the URL of a Prefect API: the user's server if one is configured, else one started for the block."""
    from flows.environment import users_have_server

    if users_have_server():
        from prefect.settings import get_current_settings

        api = str(get_current_settings().api.url)
        say(f"Prefect server: {api}")
        yield api
        return
    port = _free_port(port)
    address = f"http://127.0.0.1:{port}"
    log = state(root) / "prefect-server.log"
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **_page_settings(address)},
        )
        try:
            _wait(process, f"{address}/api/health", log)
            from prefect.settings import PREFECT_API_URL, temporary_settings

            # for the runs' processes; this process has read its settings already and would start a second server
            os.environ["PREFECT_API_URL"] = f"{address}/api"
            with temporary_settings({PREFECT_API_URL: f"{address}/api"}):
                say(f"Prefect server with its page: {address}")
                yield f"{address}/api"
        finally:
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _page_settings(address: str) -> dict[str, str]:
    """Environment of the server: the API's URL for its UI, which Prefect assumes at port 4200 whatever the port.

    Prefect has two names for that setting and prefers the longer; both are set. The new UI (v2) loads Amplitude's
    settings from the network even with analytics off, so the old one, which loads nothing, is used.
    """
    return {
        "PREFECT_SERVER_UI_API_URL": f"{address}/api",
        "PREFECT_UI_API_URL": f"{address}/api",
        "PREFECT_SERVER_UI_V2_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    }


def _free_port(requested: int | None) -> int:
    """The requested port; None means Prefect's default, or any free port if that is in use."""
    for port in (requested or PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                if requested:
                    raise MachineError(
                        f"--port {requested}: {error.strerror}",
                        remedy="choose another port, or omit --port to use any free one",
                    ) from error
                continue
            return int(probe.getsockname()[1])
    raise MachineError("no port of 127.0.0.1 is free", remedy="stop a program that uses one and run again")


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
    raise MachineError(f"Prefect's server did not start; its log: {log}", remedy="fix the error in it and run again")
