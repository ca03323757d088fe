"""What a training does while a real tracking server is dead or hangs, and what MLflow has in the end."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from hallmark.contracts import servers
from hallmark.contracts.errors import MachineError
from hallmark.tracking import courier, journal, outbox, runs, store
from hallmark.tracking.params import Tracking
from tests.tracking.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

TRACKING = Tracking(experiment="hallmark", wandb="off")
pytestmark = pytest.mark.pipeline


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    monkeypatch.setattr(courier, "RETRY", 0.1)
    monkeypatch.setattr(courier, "SHORT", 0.3)
    monkeypatch.setenv(servers.SECONDS, "1")
    return tmp_path


def waiting(workspace: Path) -> list[str]:
    folder = workspace / journal.ROOM
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def points(run_id: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in store.client().get_metric_history(run_id, "loss")]


@pytest.mark.parametrize("how", ["killed", "hangs"])
def test_a_training_goes_on_and_delivers_when_the_server_is_back(
    server: Server, workspace: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    with (
        caplog.at_level(logging.WARNING),
        runs.open_run(TRACKING, key=how, stage="train", params={"lr": 0.1}) as run,
    ):
        run.metrics({"loss": 1.0}, 0)
        run.flush()
        server.kill() if how == "killed" else server.hang()
        try:
            for step in range(1, 2500):
                run.metrics({"loss": 1.0 / step}, step)
            run.image("worst", np.zeros((4, 4, 3), np.uint8), 7)
            run.flush()
            assert waiting(workspace) != []
            assert run.seconds < 60
        finally:
            server.start() if how == "killed" else server.go_on()
        run.flush()
        run.tag("after", "yes")
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2, messages
    assert "accepts nothing" in messages[0]
    assert "answers again" in messages[1]
    client = store.client()
    stored = client.get_run(run.run_id)
    assert (stored.info.status, stored.data.params, stored.data.tags["after"]) == ("FINISHED", {"lr": "0.1"}, "yes")
    assert points(run.run_id) == [(0, 1.0), *((step, 1.0 / step) for step in range(1, 2500))]
    assert len(client.list_artifacts(run.run_id, "images/worst")) == 1
    assert waiting(workspace) == []


def test_a_run_that_ends_while_the_server_is_away_is_delivered_later_and_once(
    server: Server, workspace: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with runs.open_run(TRACKING, key="ends", stage="train", params={}) as run:
        run.metrics({"loss": 1.0}, 0)
        run.flush()
        server.hang()
        run.metrics({"loss": 0.5}, 1)
        (workspace / "model.safetensors").write_bytes(b"weights")
        run.output(workspace / "model.safetensors")
    (left,) = waiting(workspace)
    try:
        with pytest.raises(
            MachineError,
            match=r"^MLFLOW_TRACKING_URI is http.*: no answer within 1 sec.*; start that",
        ):
            outbox.deliver(needed=True)
        assert outbox.deliver() == 0
        assert waiting(workspace) == [left]
        with (
            pytest.raises(MachineError, match="MLFLOW_TRACKING_URI"),
            runs.open_run(TRACKING, key="new", stage="tune", params={}),
        ):
            pass
        copy = workspace / "copy"
        shutil.copytree(workspace / journal.ROOM / left, copy)
    finally:
        server.go_on()
    assert outbox.deliver(needed=True) == 1
    assert outbox.deliver(needed=True) == 0
    client = store.client()
    ended = client.get_run(run.run_id).info
    assert ended.status == "FINISHED"
    assert points(run.run_id) == [(0, 1.0), (1, 0.5)]
    experiment = store.experiment(client, "hallmark")
    assert runs.run_of(client, experiment, workspace / "model.safetensors") == run.run_id
    # as after a kill between the delivery and its receipt: everything once more, from the first line on
    shutil.move(copy, workspace / journal.ROOM / left)
    (workspace / journal.ROOM / left / "delivered").unlink()
    assert outbox.deliver(needed=True) == 1
    assert points(run.run_id) == [(0, 1.0), (1, 0.5)]
    assert client.get_run(run.run_id).info.end_time == ended.end_time


CHILD = """
import os, sys, time
from hallmark.tracking import runs
from hallmark.tracking.params import Tracking
tracking = Tracking(experiment="hallmark", wandb="off")
with runs.open_run(tracking, key="k9", stage="train", params={"lr": 0.1}, needs_store=False) as run:
    for step in range(5):
        run.metrics({"loss": 1.0 / (step + 1)}, step)
    print("logged", flush=True)
    time.sleep(300)
"""


def test_a_training_that_begins_without_a_server_and_is_killed_loses_nothing(server: Server, workspace: Path) -> None:
    server.hang()
    try:
        environment = {**os.environ, "PYTHONPATH": str(Path(runs.__file__).parents[2])}
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD], cwd=workspace, env=environment, stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "logged\n"
        assert outbox.deliver() == 0, "a journal of a living process is its own"
        child.send_signal(signal.SIGKILL)
        child.communicate()
        # as a kill in the middle of a line leaves it
        (left,) = waiting(workspace)
        with (workspace / journal.ROOM / left / "events.jsonl").open("ab") as events:
            events.write(b'{"kind": "metrics", "at": 1, "ste')
        with runs.open_run(TRACKING, key="k9", stage="train", params={"lr": 0.1}, needs_store=False) as run:
            for step in range(3, 7):  # the checkpoint was older than what was logged
                run.metrics({"loss": 1.0 / (step + 1)}, step)
            assert run.run_id == ""
        assert waiting(workspace) == [left]
    finally:
        server.go_on()
    assert outbox.deliver(needed=True) == 1
    client = store.client()
    (stored,) = client.search_runs([store.experiment(client, "hallmark")], "tags.`hallmark.key` = 'k9'")
    assert (stored.info.status, stored.data.params) == ("FINISHED", {"lr": "0.1"})
    assert points(stored.info.run_id) == [(step, 1.0 / (step + 1)) for step in range(7)]


def test_a_store_that_lost_the_run_gets_all_that_the_journal_has(
    server: Server, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "EVERY", 600.0)
    with runs.open_run(TRACKING, key="lost", stage="train", params={"lr": 0.1}) as run:
        first = run.run_id
        run.metrics({"loss": 1.0}, 0)
        run.flush()
        with closing(sqlite3.connect(server.database)) as connection:
            for table in ("metrics", "latest_metrics", "params", "tags", "runs"):
                connection.execute(f"DELETE FROM {table} WHERE run_uuid = ?", (first,))
            connection.commit()
        run.metrics({"loss": 0.5}, 1)
    assert run.run_id != first
    assert points(run.run_id) == [(0, 1.0), (1, 0.5)]
    assert store.client().get_run(run.run_id).data.params == {"lr": "0.1"}
