from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hallmark.contracts import telemetry
from hallmark.contracts.errors import InputError
from hallmark.tracking import courier, process, runs, store
from hallmark.tracking.params import Tracking

TRACKING = Tracking(experiment="hallmark", wandb="off")
CHILD = """
import os, sys, time
from hallmark.tracking import runs
from hallmark.tracking.params import Tracking
with runs.open_run(Tracking(experiment="hallmark", wandb="off"), key="k", stage="train", params={"lr": 0.1}) as run:
    for step in range(3):
        run.metrics({"loss": 1.0 / (step + 1)}, step)
    run.flush()
    print(run.run_id, flush=True)
    time.sleep(60)
"""


def status(run_id: str) -> str:
    return str(store.client().get_run(run_id).info.status)


def journals(workspace: Path) -> list[str]:
    """What waits for MLflow."""
    folder = workspace / ".hallmark" / "tracking"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def child(workspace: Path) -> tuple[subprocess.Popen[str], str]:
    """A process that holds an open run, and the id of that run."""
    repository = str(Path(runs.__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": repository}
    started = subprocess.Popen(
        [sys.executable, "-c", CHILD], cwd=workspace, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert started.stdout is not None
    return started, started.stdout.readline().strip()


def test_a_run_holds_what_was_logged(workspace: Path) -> None:
    from PIL import Image

    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    (workspace / "model.safetensors").write_bytes(b"weights")
    with (
        telemetry.collect() as notes,
        runs.open_run(TRACKING, key="k", stage="train", params={"optimizer": {"lr": 0.1}, "epochs": 2}) as run,
    ):
        for step in range(2500):
            run.metrics({"loss": float(step), "nan": float("nan")}, step)
        run.image("worst", pixels, 7)
        run.image("grey", pixels[:, :, :1], 7)
        run.output(workspace / "model.safetensors")
        assert status(run.run_id) == "RUNNING"
    client = store.client()
    stored = client.get_run(run.run_id)
    assert stored.info.status == "FINISHED"
    assert stored.data.params == {"optimizer.lr": "0.1", "epochs": "2"}
    assert len(client.get_metric_history(run.run_id, "loss")) == 2500
    assert notes["mlflow_run"] == run.run_id
    assert float(notes["tracking_opened_in_seconds"] or 0) > 0
    assert 0 < float(notes["tracking_seconds"] or 0) == pytest.approx(run.seconds, abs=1e-3)
    images = workspace / "mlartifacts" / run.run_id / "artifacts" / "images"
    with Image.open(images / "worst" / "00000007.png") as image:
        assert np.array_equal(np.asarray(image), pixels)
    experiment = store.experiment(client, "hallmark")
    assert runs.run_of(client, experiment, workspace / "model.safetensors") == run.run_id
    (workspace / "model.safetensors").write_bytes(b"others")
    assert runs.run_of(client, experiment, workspace / "model.safetensors") is None


def test_metrics_go_out_in_batches(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.tracking import MlflowClient

    sizes: list[int] = []
    real = MlflowClient.log_batch

    def counted(self: MlflowClient, run_id: str, **named: list[object]) -> object:
        sizes.append(len(named.get("metrics", [])))
        return real(self, run_id, **named)

    monkeypatch.setattr(courier, "EVERY", 600.0)  # everything is sent at the end
    with runs.open_run(TRACKING, key="k", stage="train", params={}) as run:
        run.flush()
        monkeypatch.setattr(MlflowClient, "log_batch", counted)
        for step in range(1000):
            run.metrics({"loss": 0.5, "accuracy": 0.5}, step)
    assert sizes == [1000, 1000]


@pytest.mark.parametrize(("error", "ending"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_a_run_ends_as_its_work_did(workspace: Path, error: type[BaseException], ending: str) -> None:
    with pytest.raises(error), runs.open_run(TRACKING, key="k", stage="train", params={}) as run:  # noqa: PT012
        run.metrics({"loss": 1.0}, 0)
        raise error
    assert status(run.run_id) == ending
    assert store.client().get_run(run.run_id).data.metrics == {"loss": 1.0}
    # taken up again, not doubled
    with runs.open_run(TRACKING, key="k", stage="train", params={}) as again:
        assert again.run_id == run.run_id
        again.metrics({"loss": 1.0}, 0)
        again.metrics({"loss": 0.5}, 1)
    assert status(run.run_id) == "FINISHED"
    history = store.client().get_metric_history(run.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(0, 1.0), (1, 0.5)]
    # finished: the same work done anew is another run, and so is other work
    with runs.open_run(TRACKING, key="k", stage="train", params={}) as new:
        assert new.run_id != run.run_id


def test_what_a_store_refuses_for_a_while_waits(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    class ClientError(Exception):
        """As a cloud's library raises: no MlflowException, no OSError."""

    def locked(*_: object, **__: object) -> None:
        raise MlflowException("database is locked")

    def slow_down(*_: object, **__: object) -> None:
        raise ClientError("slow down")

    monkeypatch.setattr(courier, "RETRY", 0.05)
    grey, file = np.zeros((4, 4, 1), np.uint8), workspace / "model.safetensors"
    file.write_bytes(b"weights")
    with caplog.at_level(logging.WARNING), runs.open_run(TRACKING, key="k", stage="train", params={}) as run:
        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, "log_batch", locked)
            for step in range(3):
                run.metrics({"loss": 1.0 / (step + 1)}, step)
                run.flush()
        run.flush()
        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, "log_artifact", slow_down)
            run.image("mistakes", grey, 0)
            run.artifact(file)
            file.write_bytes(b"others")  # it is kept as it was
            run.flush()
            run.image("mistakes", grey, 1)
            run.flush()
    messages = [record.getMessage() for record in caplog.records]
    assert [message.split(": the run")[0].split(" accepts ")[-1] for message in messages] == [
        "nothing (database is locked)",
        "MLflow answers again: the waiting log is delivered",
        "nothing (slow down)",
        "MLflow answers again: the waiting log is delivered",
    ]
    client = store.client()
    assert status(run.run_id) == "FINISHED"
    assert [point.step for point in client.get_metric_history(run.run_id, "loss")] == [0, 1, 2]
    assert len(client.list_artifacts(run.run_id, "images/mistakes")) == 2
    weights = workspace / "mlartifacts" / run.run_id / "artifacts" / "model.safetensors"
    assert weights.read_bytes() == b"weights"
    assert journals(workspace) == []


def test_what_a_store_refuses_for_good_is_reported_and_stops_nothing(
    workspace: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), runs.open_run(TRACKING, key="k", stage="train", params={"a": 1}) as run:
        run.metrics({"a": 1.0, "no/such/../name": 1.0, "b": 2.0}, 0)
        run.flush()
        run.params({"a": 2})
        run.flush()
        run.metrics({"loss": 0.5}, 0)
    messages = [record.getMessage().partition(" of run")[0] for record in caplog.records]
    assert messages == ["MLflow refuses metrics 'no/such/../name'", "MLflow refuses params 'a'"]
    stored = store.client().get_run(run.run_id).data
    assert (stored.metrics, stored.params) == ({"a": 1.0, "b": 2.0, "loss": 0.5}, {"a": "1"})


def test_a_killed_run_is_distinguished_from_a_running_one(workspace: Path) -> None:
    started, run_id = child(workspace)
    try:
        assert runs.recover(TRACKING) == []
        assert status(run_id) == "RUNNING"
        with runs.open_run(TRACKING, key="k", stage="train", params={}) as other:
            assert other.run_id != run_id, "the run of a living process is not taken from it"
    finally:
        started.send_signal(signal.SIGKILL)
        started.communicate()
    store.client().delete_run(other.run_id)
    assert status(run_id) == "RUNNING"
    assert runs.recover(TRACKING) == [run_id]
    assert status(run_id) == "KILLED"
    assert runs.recover(TRACKING) == []
    with runs.open_run(TRACKING, key="k", stage="train", params={}) as run:
        assert run.run_id == run_id
        run.metrics({"loss": 0.25}, 3)
    history = store.client().get_metric_history(run_id, "loss")
    assert [point.step for point in history] == [0, 1, 2, 3]
    assert status(run_id) == "FINISHED"


def test_foreign_runs_are_left_alone(workspace: Path) -> None:
    client = store.client()
    experiment = store.experiment(client, "hallmark")
    theirs = client.create_run(experiment).info.run_id
    elsewhere = json.dumps({"host": "another", "pid": 1, "started": 0.0})
    far = client.create_run(experiment, tags={process.TAG: elsewhere}).info.run_id
    assert runs.recover(TRACKING) == []
    assert {status(theirs), status(far)} == {"RUNNING"}


def test_a_recycled_pid_is_not_the_process() -> None:
    identity = json.loads(process.me())
    assert process.alive(json.dumps(identity))
    assert not process.alive(json.dumps({**identity, "started": identity["started"] - 3600}))
    assert not process.alive(json.dumps({**identity, "pid": 2**22 + 1}))


def test_nothing_to_reconcile_costs_no_import(tmp_path: Path) -> None:
    code = (
        "import sys; from hallmark.tracking import runs; from hallmark.tracking.params import Tracking; "
        "assert runs.recover(Tracking(experiment='e', wandb='off')) == []; assert 'mlflow' not in sys.modules"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW")}
    environment["PYTHONPATH"] = str(Path(runs.__file__).parents[2])
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    assert list(tmp_path.iterdir()) == []


def test_params_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"^experiment is empty"):
        Tracking(experiment=" ", wandb="off")
    with pytest.raises(InputError, match="did you mean 'online'"):
        Tracking(experiment="e", wandb="onlin")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'hallmark-ml\[wandb\]'"):
        Tracking(experiment="e", wandb="offline")


@pytest.mark.pipeline
def test_weights_and_biases_gets_a_copy(workspace: Path) -> None:
    pytest.importorskip("wandb", reason="an extra")
    code = CHILD.replace('wandb="off"', 'wandb="offline"').replace("time.sleep(60)", "")
    environment = {**os.environ, "PYTHONPATH": str(Path(runs.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=workspace, env=environment, capture_output=True, text=True, check=True
    )
    (folder,) = (workspace / ".hallmark" / "wandb").glob("offline-run-*")
    assert folder.name.endswith(done.stdout.strip())
    assert (folder / f"run-{done.stdout.strip()}.wandb").stat().st_size > 0


def test_runs_of_an_experiment_are_shown_below_its_run(workspace: Path) -> None:
    with runs.open_run(TRACKING, key="study", stage="tune", params={}) as parent:
        with (
            runs.nested(parent.run_id, {"hallmark.seed": "3"}),
            runs.open_run(TRACKING, key="trial", stage="train", params={}) as child,
        ):
            pass
        with runs.open_run(TRACKING, key="other", stage="train", params={}) as beside:
            pass
    tags = {run: store.client().get_run(run).data.tags for run in (child.run_id, beside.run_id)}
    assert tags[child.run_id]["mlflow.parentRunId"] == parent.run_id
    assert tags[child.run_id]["hallmark.seed"] == "3"
    assert "mlflow.parentRunId" not in tags[beside.run_id]
