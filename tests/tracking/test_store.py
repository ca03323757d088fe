from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from hallmark.contracts.errors import MachineError
from hallmark.contracts.servers import without_password
from hallmark.tracking import address, lookup, store


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def test_the_default_store_is_what_mlflow_itself_takes(workspace: Path) -> None:
    import mlflow

    assert address.tracking_uri() == f"sqlite:///{workspace}/mlflow.db"
    assert address.database(mlflow.get_tracking_uri()) == address.database(address.tracking_uri())
    client = store.client()
    experiment = client.get_experiment(store.experiment(client, "hallmark"))
    assert experiment.artifact_location == (workspace / "mlartifacts").as_uri()
    assert store.experiment(client, "hallmark") == experiment.experiment_id
    client.delete_experiment(experiment.experiment_id)
    with pytest.raises(MachineError, match="'hallmark' is deleted in MLflow; restore it"):
        store.experiment(client, "hallmark")


def test_the_environment_wins(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert address.tracking_uri() == "http://127.0.0.1:1"
    assert address.artifact_location() is None
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other/x.db")
    assert address.tracking_uri() == f"sqlite:///{workspace}/other/x.db"
    assert address.artifact_location() == (workspace / "other" / "mlartifacts").as_uri()


def test_a_store_killed_while_it_is_built_is_built_again(tmp_path: Path) -> None:
    code = (
        "from hallmark.tracking import store; import mlflow; print(1, flush=True); store.prepare('sqlite:///mlflow.db')"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(store.__file__).parents[2]), "MLFLOW_DISABLE_TELEMETRY": "true"}
    started = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert started.stdout is not None
    started.stdout.readline()
    until = time.monotonic() + 60
    while not any(path.name == "mlflow.db" for path in tmp_path.rglob("*")):
        assert time.monotonic() < until
        time.sleep(0.01)
    time.sleep(0.3)
    started.send_signal(signal.SIGKILL)
    started.communicate()
    assert not (tmp_path / "mlflow.db").exists()
    assert leftovers(tmp_path) != []
    store.prepare(f"sqlite:///{tmp_path}/mlflow.db")
    assert leftovers(tmp_path) == []
    assert lookup.running(tmp_path / "mlflow.db") == {}


def no_hard_links(*_: object) -> None:
    raise PermissionError(1, "Operation not permitted")


@pytest.mark.parametrize("links", [True, False])
def test_a_store_that_another_process_created_meanwhile_is_kept(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Path, links: bool
) -> None:
    from mlflow.tracking import MlflowClient

    path = workspace / "mlflow.db"
    path.unlink()
    run_ids: list[str] = []

    def build(new: Path) -> None:
        shutil.copyfile(empty_store, new)
        shutil.copyfile(empty_store, path)
        client = MlflowClient(address.sqlite_uri(path))
        run_ids.append(client.create_run(store.experiment(client, "hallmark")).info.run_id)

    monkeypatch.setattr(store, "_build", build)
    if not links:
        monkeypatch.setattr(os, "link", no_hard_links)
    store.prepare(f"sqlite:///{path}")
    running = lookup.running(path)
    assert not isinstance(running, lookup.Unknown)
    assert list(running) == run_ids
    assert leftovers(workspace) == []


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("empty", [True, False])
def test_a_new_store_replaces_an_empty_file(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Path, links: bool, empty: bool
) -> None:
    path = workspace / "mlflow.db"
    path.unlink()

    def build(new: Path) -> None:
        shutil.copyfile(empty_store, new)
        if empty:
            path.touch()

    monkeypatch.setattr(store, "_build", build)
    if not links:
        monkeypatch.setattr(os, "link", no_hard_links)
    store.prepare(f"sqlite:///{path}")
    assert lookup.running(path) == {}
    assert [each.name for each in workspace.iterdir()] == ["mlflow.db"]


def test_a_path_with_percent_signs_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "100%20?"
    root.mkdir()
    (root / "mlflow.db").touch()  # an empty file is no store yet
    monkeypatch.chdir(root)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    client = store.client()
    store.experiment(client, "hallmark")
    assert lookup.running(root / "mlflow.db") == {}
    assert [path.name for path in root.iterdir()] == ["mlflow.db"]


def test_a_damaged_store_is_reported_and_left(workspace: Path) -> None:
    path = workspace / "mlflow.db"
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(MachineError, match=r"is not a readable MLflow store .*move it away"):
        store.client()
    assert path.read_bytes() == b"no database at all" * 100


def test_a_half_migrated_store_is_reported(workspace: Path) -> None:
    with closing(sqlite3.connect(workspace / "mlflow.db")) as connection:
        connection.execute("DELETE FROM alembic_version")
        connection.commit()
    with pytest.raises(MachineError, match="incomplete MLflow store"):
        store.client()


def test_a_store_of_another_mlflow_is_reported(workspace: Path) -> None:
    with closing(sqlite3.connect(workspace / "mlflow.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'abc'")
        connection.commit()
    with pytest.raises(MachineError, match=r"out-of-date database schema.*mlflow db upgrade"):
        store.client()


def test_passwords_are_not_printed() -> None:
    assert without_password("postgresql://me:secret@host/db") == "postgresql://…@host/db"


def test_the_lookup_tells_what_mlflow_tells(workspace: Path) -> None:
    client = store.client()
    client.create_registered_model("m")
    for number in ("1", "2"):
        client.create_model_version("m", source=f"file:///somewhere/{number}", tags={"n": number})
    client.set_registered_model_alias("m", "champion", "2")
    path = workspace / "mlflow.db"
    version = lookup.alias(path, "m", "champion")
    truth = client.get_model_version_by_alias("m", "champion")
    assert isinstance(version, lookup.Version)
    assert (version.number, version.tags, version.folder) == (int(truth.version), truth.tags, truth.source)
    assert lookup.alias(path, "m", "challenger") is None
    assert lookup.alias(path, "other", "champion") is None
    client.delete_model_version("m", "1")
    assert lookup.version(path, "m", 1) is None
    run = client.create_run(store.experiment(client, "hallmark"), tags={"a": "b"})
    running = lookup.running(path)
    assert not isinstance(running, lookup.Unknown)
    assert running[run.info.run_id]["a"] == "b"
    client.set_terminated(run.info.run_id)
    assert lookup.running(path) == {}
    # tables it does not know: MLflow is asked
    with closing(sqlite3.connect(workspace / "other.db")) as connection:
        connection.execute("CREATE TABLE runs (x)")
    assert lookup.running(workspace / "other.db") is lookup.UNKNOWN
