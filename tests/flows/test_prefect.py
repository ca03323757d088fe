"""The flow is a good Prefect citizen: form, named runs, states that mean it, artifacts, logs, schedules."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tasks import STAGES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Clone

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(900)]
NAMES = [stage.name for stage in STAGES]


def ask(address: str, path: str, body: dict[str, Any] | None = None) -> Any:
    import httpx

    for _ in range(20):
        answer = httpx.post(f"{address}/{path}", json=body or {}, timeout=30)
        # its database is locked for a moment under load: Prefect's own client tries again, too
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            break
        time.sleep(1)
    answer.raise_for_status()
    return answer.json()


def test_a_run_is_seen_on_a_running_server(clone: Callable[..., Clone], digits: Path, prefect_server: str) -> None:
    workspace = clone("seen", "preset=quick", f"ingest.source={digits}")
    done = workspace.hallmark("run", PREFECT_API_URL=prefect_server)
    assert done.returncode == 0, done.stdout + done.stderr
    flows = ask(prefect_server, "flow_runs/filter", {"sort": "START_TIME_DESC"})
    assert flows[0]["state"]["name"] == "Completed"
    run = flows[0]["id"]
    tasks = ask(prefect_server, "task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}})
    assert {task["name"]: task["state"]["name"] for task in tasks} == dict.fromkeys(NAMES, "Completed")
    artifacts = ask(prefect_server, "artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run]}}})
    assert {artifact["type"] for artifact in artifacts} == {"table", "markdown", "image"}
    assert {"stages", "metrics", "model", "report", "augmentation"} == {artifact["key"] for artifact in artifacts}
    logs = ask(prefect_server, "logs/filter", {"logs": {"flow_run_id": {"any_": [run]}}})
    assert any("train: ran" in log["message"] for log in logs)

    again = workspace.hallmark("run", "evaluate.bootstrap_replicates=150", PREFECT_API_URL=prefect_server)
    assert again.returncode == 0, again.stdout + again.stderr
    run = ask(prefect_server, "flow_runs/filter", {"sort": "START_TIME_DESC"})[0]["id"]
    tasks = ask(prefect_server, "task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}})
    states = {task["name"]: task["state"]["name"] for task in tasks}
    assert states["train"] == "Cached"
    assert states["evaluate"] == "Completed"

    failed = workspace.hallmark("run", f"ingest.source={digits / '0'}", PREFECT_API_URL=prefect_server)
    assert failed.returncode == 3, failed.stdout + failed.stderr
    assert "Traceback" not in failed.stdout + failed.stderr
    newest = ask(prefect_server, "flow_runs/filter", {"sort": "START_TIME_DESC"})[0]
    assert newest["state"]["type"] == "FAILED"
    assert "validate" in newest["state"]["message"]


def test_a_killed_run_is_reconciled(clone: Callable[..., Clone], digits: Path, prefect_server: str) -> None:
    workspace = clone("killed", "preset=quick", f"ingest.source={digits}")
    environment = {**workspace.environment, "PREFECT_API_URL": prefect_server}
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "run"], cwd=workspace.root, env=environment, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not (workspace.root / "reports" / "run.json").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    running = {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}}
    left = [run["id"] for run in ask(prefect_server, "flow_runs/filter", running)]
    assert left
    done = workspace.hallmark("run", PREFECT_API_URL=prefect_server)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ask(prefect_server, "flow_runs/filter", running) == []
    crashed = ask(prefect_server, "flow_runs/filter", {"flow_runs": {"id": {"any_": left}}})
    assert {run["state"]["type"] for run in crashed} == {"CRASHED"}


@pytest.mark.parametrize(
    ("by", "once"),
    [
        pytest.param(signal.SIGINT, ".hallmark/checkpoints/**/*.pt", id="ctrl_c"),  # as a terminal does
        pytest.param(signal.SIGTERM, ".hallmark/checkpoints/**/*.pt", id="sigterm"),  # as where a service is stopped
        pytest.param(signal.SIGTERM, "data/ingest/*.parquet", id="sigterm_before_training"),
    ],
)
def test_a_signal_ends_a_run_and_the_server_that_it_started(
    clone: Callable[..., Clone], digits: Path, by: signal.Signals, once: str
) -> None:
    workspace = clone(
        "stopped", "preset=quick", f"ingest.source={digits}", "train.max_epochs=100000", "train.patience=0"
    )
    log = workspace.root / "run.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "flows.cli", "run"],
            cwd=workspace.root,
            env={name: value for name, value in workspace.environment.items() if name != "PREFECT_API_URL"},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + 200
    while not list(workspace.root.glob(once)):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    children = psutil.Process(process.pid).children(recursive=True)
    assert any("uvicorn" in " ".join(child.cmdline()) for child in children)
    os.killpg(process.pid, by)  # Prefect's server gets it too
    try:
        assert process.wait(timeout=60) == 128 + by
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert psutil.wait_procs(children, timeout=20)[1] == []
    said = log.read_text()
    assert said.count("goes on from there") == (by == signal.SIGINT), said
    assert "Traceback" not in said
    assert "error" not in said.lower()
    done = workspace.hallmark("run", "train.max_epochs=2")
    assert done.returncode in (0, 3), done.stdout + done.stderr


def test_a_scheduled_run_completes(clone: Callable[..., Clone], digits: Path, prefect_server: str) -> None:
    workspace = clone("scheduled", "preset=quick", f"ingest.source={digits}")
    environment = {**workspace.environment, "PREFECT_API_URL": prefect_server}
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "schedule", "--cron", "0 3 * * *"],
        cwd=workspace.root,
        env=environment,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 300
        deployments: list[Any] = []
        while not deployments:
            assert process.poll() is None, "hallmark schedule ended by itself"
            assert time.monotonic() < deadline, "no deployment appeared"
            deployments = ask(prefect_server, "deployments/filter")
            time.sleep(0.5)
        deployment = deployments[0]
        assert deployment["schedules"][0]["schedule"]["cron"] == "0 3 * * *"
        assert set(deployment["parameter_openapi_schema"]["properties"]) == {"source", "overrides"}
        run = ask(prefect_server, f"deployments/{deployment['id']}/create_flow_run", {"state": {"type": "SCHEDULED"}})
        while True:
            state = ask(prefect_server, "flow_runs/filter", {"flow_runs": {"id": {"any_": [run["id"]]}}})[0]["state"]
            if state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
                break
            assert time.monotonic() < deadline, state
            time.sleep(1)
        assert state["type"] == "COMPLETED", state["message"]
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert (workspace.root / "reports" / "index.html").exists()


def test_a_schedule_starts_one_server_and_sigterm_ends_both(clone: Callable[..., Clone]) -> None:
    workspace = clone("own")
    environment = {name: value for name, value in workspace.environment.items() if name != "PREFECT_API_URL"}
    log = workspace.root / "schedule.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "flows.cli", "schedule", "--cron", "0 3 * * *"],
            cwd=workspace.root,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 200
        while "Deployment training/scheduled" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.5)
        time.sleep(10)  # what the deployment would start comes now
        children = psutil.Process(process.pid).children(recursive=True)
        lines = [" ".join(child.cmdline()) for child in children]
        assert [line for line in lines if "prefect server start" in line]
        assert not [line for line in lines if "create_app" in line], "a second server"
        process.terminate()
        assert process.wait(timeout=60) == 0
        assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    finally:
        if process.poll() is None:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()  # its server has a process group of its own
            process.kill()
            process.wait()


def test_a_wrong_cron_line_is_refused(clone: Callable[..., Clone]) -> None:
    done = clone("wrong").hallmark("schedule", "--cron", "every night")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "no cron line" in done.stderr
    assert "Traceback" not in done.stderr
