"""Dead servers, full disks and our own mistakes, from the command line: one message, an exit code, no traceback."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests import dead_servers
from tests.conftest import make_clone

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.conftest import Clone

pytestmark = pytest.mark.pipeline

SHORT = {"HALLMARK_SERVER_SECONDS": "0.5"}
SERVERS: dict[str, Callable[[], AbstractContextManager[int]]] = {
    "closed": lambda: contextlib.nullcontext(dead_servers.closed_port()),
    "silent": dead_servers.silent,
    "dripping": dead_servers.dripping,
    "unwell": lambda: dead_servers.answering(500, b"oops"),
    "another": lambda: dead_servers.answering(200, b"<html></html>"),
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, home: Path) -> Clone:
    return make_clone(tmp_path_factory.mktemp("faults") / "workspace", home, "preset=quick")


def check_refusal(done: subprocess.CompletedProcess[str], code: int, *words: str) -> str:
    """What a command said, in one line of standard error, with that exit code and those words."""
    output = done.stdout + done.stderr
    assert done.returncode == code, output
    assert "Traceback" not in output
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr, output
    return done.stderr


@pytest.mark.parametrize("server", SERVERS)
def test_a_prefect_server_that_does_not_answer(workspace: Clone, server: str) -> None:
    with SERVERS[server]() as port:
        address = f"http://127.0.0.1:{port}/api"
        done = workspace.hallmark("run", **SHORT, PREFECT_API_URL=address)
    check_refusal(done, 4, f"PREFECT_API_URL is {address}: ", "unset it", ".hallmark/logs/")


@pytest.mark.parametrize(
    "command", [("tune", "quick", "--trials", "1"), ("crossval",), ("ablate",), ("schedule", "--cron", "0 3 * * *")]
)
def test_commands_that_need_prefect(workspace: Clone, command: tuple[str, ...]) -> None:
    address = f"http://127.0.0.1:{dead_servers.closed_port()}/api"
    check_refusal(workspace.hallmark(*command, **SHORT, PREFECT_API_URL=address), 4, f"PREFECT_API_URL is {address}: ")


@pytest.mark.parametrize("address", ["foo", "http://x:99999/api", "ftp://127.0.0.1/api"])
def test_a_prefect_address_that_is_none(workspace: Clone, address: str) -> None:
    check_refusal(
        workspace.hallmark("run", PREFECT_API_URL=address), 4, f"PREFECT_API_URL is {address}: that is no address"
    )


def test_the_server_of_prefects_profile(workspace: Clone, tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{dead_servers.closed_port()}/api"
    profiles = tmp_path / "profiles.toml"
    profiles.write_text(f'active = "work"\n[profiles.work]\nPREFECT_API_URL = "{address}"\n')
    done = workspace.hallmark("run", **SHORT, PREFECT_PROFILES_PATH=str(profiles))
    check_refusal(done, 4, f"PREFECT_API_URL of Prefect's profile 'work' is {address}: ", "prefect config unset")


def test_the_database_of_the_server_that_a_run_starts(workspace: Clone, tmp_path: Path) -> None:
    """With a broken one Prefect starts its server again and again, without end and without a word."""
    (tmp_path / "prefect.db").write_text("this is no database, whatever its name says")
    done = workspace.hallmark("run", PREFECT_HOME=str(tmp_path))
    assert done.returncode == 4, done.stdout + done.stderr
    assert f"Prefect's database {tmp_path / 'prefect.db'} cannot be used (file is not a database)" in done.stderr
    address = f"postgresql+asyncpg://me:secret@127.0.0.1:{dead_servers.closed_port()}/prefect"
    done = workspace.hallmark("run", PREFECT_SERVER_DATABASE_CONNECTION_URL=address, PREFECT_HOME=str(tmp_path / "new"))
    assert done.returncode == 4, done.stdout + done.stderr
    assert "PREFECT_SERVER_DATABASE_CONNECTION_URL is postgresql+asyncpg://…@127.0.0.1" in done.stderr
    assert "secret" not in done.stdout + done.stderr


@pytest.mark.parametrize("server", SERVERS)
def test_a_tracking_server_that_does_not_answer(workspace: Clone, server: str) -> None:
    with SERVERS[server]() as port:
        address = f"http://127.0.0.1:{port}"
        done = workspace.hallmark("predict", "data/review.csv", **SHORT, MLFLOW_TRACKING_URI=address)
    check_refusal(done, 4, f"MLFLOW_TRACKING_URI is {address}: ", "unset it", ".hallmark/logs/")


@pytest.mark.parametrize("command", [("run",), ("serve",), ("tune", "quick"), ("schedule", "--cron", "0 3 * * *")])
def test_commands_that_need_mlflow(workspace: Clone, command: tuple[str, ...]) -> None:
    address = f"http://127.0.0.1:{dead_servers.closed_port()}"
    check_refusal(
        workspace.hallmark(*command, **SHORT, MLFLOW_TRACKING_URI=address), 4, f"MLFLOW_TRACKING_URI is {address}: "
    )


@pytest.mark.parametrize("stage", ["train", "register"])
def test_stages_that_need_mlflow(workspace: Clone, stage: str) -> None:
    with dead_servers.silent() as port:
        address = f"http://127.0.0.1:{port}"
        done = workspace.call("-m", "tasks", stage, **SHORT, MLFLOW_TRACKING_URI=address)
    check_refusal(done, 4, f"{stage}: MLFLOW_TRACKING_URI is {address}: ", ".hallmark/logs/")


@pytest.mark.parametrize("address", ["foo", "sqlite:////proc/nowhere/mlflow.db", "file:///tmp/mlruns"])
def test_a_tracking_address_that_is_none(workspace: Clone, address: str) -> None:
    check_refusal(workspace.hallmark("run", MLFLOW_TRACKING_URI=address), 4, f"MLFLOW_TRACKING_URI is {address}: ")


def test_doctor_finds_both_and_goes_on(workspace: Clone) -> None:
    with dead_servers.silent() as prefect, dead_servers.silent() as mlflow:
        done = workspace.hallmark(
            "doctor",
            **SHORT,
            PREFECT_API_URL=f"http://127.0.0.1:{prefect}/api",
            MLFLOW_TRACKING_URI=f"http://127.0.0.1:{mlflow}",
        )
    assert done.returncode == 4, done.stderr
    assert f"PREFECT_API_URL is http://127.0.0.1:{prefect}/api: no answer within" in done.stdout
    assert f"MLFLOW_TRACKING_URI is http://127.0.0.1:{mlflow}: no answer within" in done.stdout
    assert done.stdout.count(f"127.0.0.1:{mlflow}") == 1  # a server that is dead is not waited for again
    assert "params.yaml is valid" in done.stdout


def test_a_mistake_of_ours(clone: Callable[..., Clone], digits: Path, prefect_server: str) -> None:
    """Under both engines: the message asks for a report and names the log, which holds the traceback."""
    here = clone("here", "preset=quick", f"ingest.source={digits}").served_by(prefect_server)
    stage = here.root / "tasks" / "ingest.py"
    stage.write_text(stage.read_text() + "\n\ndef run(*_, **__):\n    raise TypeError('planted')\n")
    for done in (here.call("-m", "tasks", "ingest"), here.hallmark("run")):
        output = check_refusal(
            done, 1, "unexpected TypeError: planted", "this is a fault of Hallmark", "report it, with the file"
        )
        log = output.strip().rpartition(" ")[2]
        with open(log, encoding="utf-8") as file:
            assert "raise TypeError('planted')" in file.read()


def test_a_disk_with_one_megabyte_free(home: Path, digits: Path, tmp_path: Path) -> None:
    """A really full disk, where this user may mount a small one."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(tmp_path)], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("may not mount a small file system here")
    try:
        small = make_clone(tmp_path / "small", home, "preset=quick", f"ingest.source={digits}")
        before = (small.root / "params.yaml").read_text()
        for left in (1 << 20, 0):
            with (tmp_path / "rest").open("wb") as rest, contextlib.suppress(OSError):
                free = _free(tmp_path)
                while free > left:
                    rest.write(bytes(min(1 << 16, free - left)))
                    rest.flush()
                    free = _free(tmp_path)
            if left:
                check_refusal(small.hallmark("run"), 4, "MiB are free on the disk", "free some space")
            else:
                check_refusal(
                    small.hallmark("configure", "train.max_epochs=3"), 4, "the disk is full", "free some space"
                )
                check_refusal(small.hallmark("run"), 4, "the disk is full", "free some space")
                check_refusal(small.call("-m", "tasks", "ingest"), 4, "the disk is full", "free some space")
            (tmp_path / "rest").unlink()
        assert (small.root / "params.yaml").read_text() == before
        assert not list(small.root.rglob(".partial-*"))
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def test_standard_output_on_a_full_disk(workspace: Clone) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli", "configure"],
            cwd=workspace.root,
            env={**os.environ, **workspace.environment},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 4, done.stderr
    assert done.stderr.startswith("hallmark: configure: the disk is full; free some space")
    assert len(done.stderr.splitlines()) == 1
