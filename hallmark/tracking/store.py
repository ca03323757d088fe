"""The MLflow client, on a store that is either absent or complete.

MLflow creates a SQLite store with some sixty migrations. A kill between them would leave a file that no version of
MLflow opens, so a new store is built in a temporary folder and linked to its path once it is complete.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import tempfile
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hallmark.contracts.errors import MachineError
from hallmark.contracts.servers import without_password
from hallmark.pipeline.machine import as_machine_error
from hallmark.tracking import address, reachability

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow.tracking import MlflowClient

KIND, MODEL_TRAINING = "mlflow.experimentKind", "custom_model_development"  # without it MLflow's UI asks for it
EXPERIMENT = "tracking.experiment"
_BUILDING = ".mlflow-building-"
_one_builder = threading.Lock()


def client() -> MlflowClient:
    """A client of the tracking store and the registry.

    Raises MachineError if the store cannot be reached, is damaged, or belongs to another version of MLflow.
    """
    reachability.check()
    uri, registry = address.tracking_uri(), address.registry_uri()
    for each in sorted({uri, registry}):
        prepare(each)
    _import_mlflow(sql=any("://" in each and not each.startswith("http") for each in (uri, registry)))
    from mlflow.tracking import MlflowClient

    return _connected(lambda: MlflowClient(tracking_uri=uri, registry_uri=registry), uri)


@contextmanager
def opened_meanwhile() -> Iterator[None]:
    """Opens the store in a thread while the block waits for other processes: importing MLflow takes over a second.

    After the block, raises MachineError as :func:`client` does.
    """
    with ThreadPoolExecutor(1) as executor:
        opened = executor.submit(client)
        yield
        opened.result()


def prepare(uri: str) -> None:
    """Creates the SQLite store if there is none. A damaged store raises MachineError and is never changed."""
    path = address.database(uri)
    if path is not None:
        with _one_builder:
            _prepare(path)


def _prepare(path: Path) -> None:
    _sweep(path.parent)
    if _filled(path):
        _check(path)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{_BUILDING}{os.getpid()}-", dir=path.parent))
    try:
        new = folder / path.name
        _build(new)
        _install(new, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def experiment(tracker: MlflowClient, name: str) -> str:
    """The id of the experiment, created if needed, which MLflow's UI shows as model training."""
    from mlflow.exceptions import MlflowException

    for _ in range(2):
        existing = tracker.get_experiment_by_name(name)
        if existing is not None and existing.lifecycle_stage == "active":
            if KIND not in existing.tags:
                tracker.set_experiment_tag(existing.experiment_id, KIND, MODEL_TRAINING)
            return str(existing.experiment_id)
        if existing is not None:
            raise MachineError(
                f"'{name}' is deleted in MLflow",
                field=EXPERIMENT,
                remedy=f"restore it (`mlflow experiments restore -x {existing.experiment_id}`) or choose another name",
            )
        try:
            location, tags = address.artifact_location(), {KIND: MODEL_TRAINING}
            return str(tracker.create_experiment(name, artifact_location=location, tags=tags))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
    raise MachineError(f"'{name}' can be neither read nor created", remedy="check the MLflow store", field=EXPERIMENT)


def _build(path: Path) -> None:
    _import_mlflow(sql=True)
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    uri = address.sqlite_uri(path)

    def make() -> None:
        root = address.artifact_location() or (path.parent.parent / address.ARTIFACTS).as_uri()
        SqlAlchemyStore(uri, root).engine.dispose()

    _connected(make, uri)
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _install(new: Path, path: Path) -> None:
    """Moves the complete store to its path, unless another process has: its store may already contain runs."""
    try:
        os.link(new, path)
    except OSError:  # the file exists, or the file system has no hard links
        if _filled(path):
            _check(path)
        else:
            os.replace(new, path)


def _filled(path: Path) -> bool:
    """Whether the file has content: SQLite leaves an empty file if it only opened it."""
    return path.exists() and path.stat().st_size > 0


def _check(path: Path) -> None:
    """Raises MachineError unless the file is a complete MLflow database."""
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=20)
        try:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            versions = (
                connection.execute("SELECT version_num FROM alembic_version").fetchall()
                if "alembic_version" in tables
                else []
            )
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        raise MachineError(
            f"{path} is not a readable MLflow store ({error})",
            remedy="restore it from a backup, or move it away: a new one is created, without the old runs and versions",
        ) from error
    if not tables or len(versions) == 1:
        return
    raise MachineError(
        f"{path} is an incomplete MLflow store: {len(tables)} tables and no schema version",
        remedy="move it away: a new one is created, without its content",
    )


def _connected(make: Any, uri: str) -> Any:
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return make()
    except (MlflowException, SQLAlchemyError, OSError) as error:
        disk = as_machine_error(error, "the MLflow store")
        if disk is not None:
            raise disk from error
        first = str(error).strip().splitlines()[0]
        raise MachineError(
            f"the MLflow store {without_password(uri)} does not open ({first})",
            remedy="if another version of MLflow wrote it, back it up and run `mlflow db upgrade <uri>`; "
            "if it is a server, start it or unset MLFLOW_TRACKING_URI",
        ) from error


def _sweep(folder: Path) -> None:
    """Removes the folders of processes that were killed while building a store."""
    import psutil

    for left in sorted(folder.glob(f"{_BUILDING}*")):
        owner = left.name.removeprefix(_BUILDING).split("-")[0]
        if owner == str(os.getpid()) or not (owner.isdigit() and psutil.pid_exists(int(owner))):
            shutil.rmtree(left, ignore_errors=True)


def _import_mlflow(*, sql: bool) -> None:
    """Imports MLflow without telemetry and without a log line for each migration."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # by default it retries a server that does not answer for minutes
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # MLflow's tables use a loader that SQLAlchemy 2.1 deprecates, with one warning on import. (No ``catch_warnings``:
    # that replaces the filters of all threads.)
    warnings.filterwarnings("ignore", message="The ``noload`` loader strategy is deprecated")
    import mlflow.tracking

    if sql:
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
