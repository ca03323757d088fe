"""The flow is a good Prefect citizen: form, named runs, states that mean it, artifacts, logs, schedules."""

from __future__ import annotations

import json
import os
import re
import shutil
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


def commands(address: str, workspace: Clone) -> dict[str, str]:
    """What Prefect's own commands say of a server."""
    outputs = {}
    for command in ("deployment ls", "flow-run ls", "work-pool ls", "artifact ls"):
        done = workspace.call("-m", "prefect", *command.split(), PREFECT_API_URL=address, COLUMNS="200")
        assert done.returncode == 0, f"prefect {command}: {done.stdout[-500:]}{done.stderr[-500:]}"
        outputs[command] = done.stdout
    return outputs


def test_a_run_is_seen_on_a_running_server(clone: Callable[..., Clone], digits: Path, prefect_server: str) -> None:
    workspace = clone("seen", "preset=quick", f"ingest.source={digits}")
    done = workspace.hallmark("run", PREFECT_API_URL=prefect_server)
    assert done.returncode == 0, done.stdout + done.stderr
    flows = ask(prefect_server, "flow_runs/filter", {"sort": "START_TIME_DESC"})
    assert flows[0]["state"]["name"] == "Completed"
    name = rf"training \d{{4}}-\d\d-\d\d \d\d:\d\d · {digits.name} · [0-9a-f]{{4}}"
    assert re.fullmatch(name, flows[0]["name"]), flows[0]["name"]
    run = flows[0]["id"]
    tasks = ask(prefect_server, "task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}})
    assert {task["name"]: task["state"]["name"] for task in tasks} == dict.fromkeys(NAMES, "Completed")
    artifacts = ask(prefect_server, "artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run]}}})
    assert {artifact["type"] for artifact in artifacts} == {"table", "markdown", "image"}
    assert {"stages", "metrics", "model", "report", "augmentation"} == {artifact["key"] for artifact in artifacts}
    assert not [artifact["key"] for artifact in artifacts if "file://" in str(artifact["data"])]
    report = next(artifact["data"] for artifact in artifacts if artifact["key"] == "report")
    evaluated = json.loads((workspace.root / "reports" / "evaluate.json").read_text())
    assert f"| Accuracy | {evaluated['accuracy']['value']:.4f} |" in report.replace("\\", "")
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
    artifacts = ask(prefect_server, "artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [newest["id"]]}}})
    assert [artifact["key"] for artifact in artifacts] == ["refusal"]


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
    output = log.read_text()
    assert output.count("same command again to resume") == (by == signal.SIGINT), output
    assert "Traceback" not in output
    assert "error" not in output.lower()
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
        form = deployment["parameter_openapi_schema"]["properties"]
        assert {name: field["type"] for name, field in form.items()} == {
            "source": "string",
            "preset": "string",
            "model": "string",
            "overrides": "array",
        }
        assert all(field["description"] for field in form.values())
        for name in ("preset", "model"):
            presets = [path.stem for path in (workspace.root / "conf" / name).glob("*.yaml")]
            assert form[name]["enum"] == ["unchanged", *sorted(presets)]
        parameters = {"source": f"{digits}", "overrides": ["evaluate.bootstrap_replicates=150"]}
        body = {"state": {"type": "SCHEDULED"}, "parameters": parameters}
        run = ask(prefect_server, f"deployments/{deployment['id']}/create_flow_run", body)
        while True:
            state = ask(prefect_server, "flow_runs/filter", {"flow_runs": {"id": {"any_": [run["id"]]}}})[0]["state"]
            if state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
                break
            assert time.monotonic() < deadline, state
            time.sleep(1)
        assert state["type"] == "COMPLETED", state["message"]
        done = ask(prefect_server, "flow_runs/filter", {"flow_runs": {"id": {"any_": [run["id"]]}}})[0]
        assert f" · {digits.name} · " in done["name"]
        listed = commands(prefect_server, workspace)
        assert "training/scheduled" in listed["deployment ls"]
        assert "COMPLETED" in listed["flow-run ls"]
        assert "report" in listed["artifact ls"]
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert (workspace.root / "reports" / "index.html").exists()


def look(address: str) -> None:
    """The deployments' page in a browser: the deployment is there, nothing failed, and nobody else was asked."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        assert os.environ.get("CI") != "true", "CI has to have Chromium"
        return
    failed: list[str] = []
    elsewhere: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        tab = browser.new_page()
        # a request that a change of the page ends is aborted; one that nobody answers is refused
        tab.on("requestfailed", lambda each: failed.append(each.url) if "ABORTED" not in str(each.failure) else None)
        tab.on("response", lambda answer: failed.append(answer.url) if answer.status >= 500 else None)
        tab.on("request", lambda request: elsewhere.append(request.url) if foreign(request.url, address) else None)
        tab.goto(address)  # the page that is announced leads to the one without requests to others
        tab.wait_for_url("**/dashboard", timeout=60_000)
        tab.goto(f"{address}/deployments")
        tab.get_by_text("scheduled", exact=True).first.wait_for(timeout=60_000)
        tab.get_by_text("1 Deployment").first.wait_for(timeout=60_000)
        browser.close()
    assert failed == []
    assert elsewhere == []


def foreign(url: str, address: str) -> bool:
    return url.startswith("http") and not url.startswith(address)


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
        output = log.read_text()
        address = re.search(r"Prefect server with its page: (http://\S+)", output)
        assert address, output
        look(address[1])
        listed = commands(f"{address[1]}/api", workspace)
        assert "training/scheduled" in listed["deployment ls"]
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
    assert "not a valid cron line" in done.stderr
    assert "Traceback" not in done.stderr
