"""A training that can be followed live, and taken up again after a kill.

MLflow is spoken to through its client with explicit run ids: its active run is thread-local. Metrics wait in a buffer
and go out in batches, one every :data:`EVERY` seconds at most, because a batch costs what a single value costs.

    with open_run(tracking, key=digest_of_inputs, stage="train", params={"lr": 1e-3}) as run:
        run.metrics({"loss": 0.7}, step=0)
        run.output(Path("model.safetensors"))
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import re
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from hallmark.pipeline import telemetry
from hallmark.tracking import address, lookup, process, store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy as np
    from mlflow.tracking import MlflowClient
    from numpy.typing import NDArray

    from hallmark.tracking.mirror import Mirror
    from hallmark.tracking.params import Tracking

KEY = "hallmark.key"
STAGE = "hallmark.stage"
OUTPUT = "hallmark.output"
EVERY = 1.5  # seconds between batches
RETRY = 30.0  # seconds until a store that refused a batch is asked again
_BATCH = 1000  # metrics, MLflow's limit
_PARAMS = 100  # params in a batch, MLflow's limit
_LENGTH = 6000  # characters of a param's value, MLflow's limit

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger(__name__)
_nested: ContextVar[dict[str, str]] = ContextVar("hallmark_nested_run", default={})  # noqa: B039  it is replaced


def _clocked(method: Callable[P, R]) -> Callable[P, R]:
    """Adds a call's time to the run's ``seconds``, once where one such method calls another."""

    @functools.wraps(method)
    def call(*arguments: P.args, **named: P.kwargs) -> R:
        run: Any = arguments[0]
        if run._clock_goes:
            return method(*arguments, **named)
        run._clock_goes, started = True, time.perf_counter()
        try:
            return method(*arguments, **named)
        finally:
            run._clock_goes = False
            run.seconds += time.perf_counter() - started

    return call


class TrackedRun:
    """One MLflow run, and the ``seconds`` that speaking to MLflow has taken. Made by :func:`open_run`."""

    def __init__(self, client: MlflowClient, run_id: str, mirror: Mirror | None, done: dict[str, int]) -> None:
        self._client = client
        self._mirror = mirror
        self._waiting: list[Any] = []
        self._next = time.monotonic() + EVERY
        self._images_lost: Counter[str] = Counter()
        self._done = done  # the last step the store has of each metric, from before a kill
        self.run_id = run_id
        self.seconds = 0.0
        self._clock_goes = False

    @_clocked
    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Adds values of a step; a step that an earlier life of this run logged is left out."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        fresh = {name: float(value) for name, value in values.items() if step > self._done.get(name, -1)}
        self._waiting.extend(Metric(name, value, now, step) for name, value in fresh.items())
        if self._mirror is not None and fresh:
            self._mirror.metrics(fresh, step)
        if time.monotonic() >= self._next:
            self.flush()

    @_clocked
    def flush(self) -> None:
        """Sends what waits. A store that refuses is told as a warning and asked again later: training goes on."""
        from mlflow.exceptions import MlflowException

        try:
            while self._waiting:
                self._client.log_batch(self.run_id, metrics=self._waiting[:_BATCH])
                del self._waiting[:_BATCH]
            self._next = time.monotonic() + EVERY
        except MlflowException as error:
            self._next = time.monotonic() + RETRY
            _log.warning("MLflow took none of %d metrics of run %s: %s", len(self._waiting), self.run_id, error)

    @_clocked
    def tag(self, name: str, value: str) -> None:
        """Sets a tag of the run."""
        self._client.set_tag(self.run_id, name, value)

    def output(self, path: Path) -> None:
        """Records that the run made this file, by the digest of its bytes: :func:`run_of` finds the run by it."""
        self.tag(f"{OUTPUT}.{path.name}", digest(path))

    @_clocked
    def image(self, name: str, pixels: NDArray[np.uint8], step: int) -> None:
        """Keeps an image, uint8 [height, width, channels] with 1, 3 or 4 channels, as images/<name>/<step>.png.

        A store that refuses is told as a warning, once for each name: training goes on without the image.
        """
        from PIL import Image

        assert pixels.ndim == 3, f"an image has three axes, this one {pixels.ndim}"
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        try:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"{step:08d}.png"
                image.save(path)
                self.artifact(path, f"images/{name}")
        except Exception as error:  # each kind of artifact store (S3, Azure, GCS) raises its client's own
            self._images_lost[name] += 1
            if self._images_lost[name] == 1:
                _log.warning("MLflow took no image %s of step %d of run %s: %s", name, step, self.run_id, error)
        if self._mirror is not None:
            self._mirror.image(name, pixels, step)

    @_clocked
    def figure(self, name: str, figure: Any) -> None:
        """Keeps a matplotlib figure as figures/<name>.png."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.png"
            figure.savefig(path, metadata={"Software": None})
            self.artifact(path, "figures")

    @_clocked
    def artifact(self, path: Path, folder: str = "") -> None:
        """Keeps a file, or a folder with what is in it."""
        send = self._client.log_artifacts if path.is_dir() else self._client.log_artifact
        send(self.run_id, str(path), folder or None)

    @_clocked
    def _close(self, status: str) -> None:
        self.flush()
        if self._waiting:
            telemetry.note(metrics_lost=len(self._waiting))
        if self._images_lost:
            telemetry.note(images_lost=self._images_lost.total())
        self._client.set_terminated(self.run_id, status)
        if self._mirror is not None:
            self._mirror.close(failed=status != "FINISHED")


@contextmanager
def open_run(tracking: Tracking, *, key: str, stage: str, params: Mapping[str, object]) -> Iterator[TrackedRun]:
    """A run for the work that ``key`` stands for (a digest of its inputs).

    A run of that key and stage that did not finish, and whose process is gone, is taken up again; else a new one is
    made. Ends FINISHED, FAILED on an exception, KILLED on an interrupt; after a SIGKILL it is left RUNNING, for
    :func:`reconcile`. Nested params are flattened with dots. Raises MachineError where the store cannot be reached.
    """
    started = time.perf_counter()
    client = store.client()
    experiment = store.experiment(client, tracking.experiment)
    run_id = _unfinished(client, experiment, key, stage)
    if run_id is None:
        run_id, done = _create(client, experiment, key, stage, params), {}
    else:
        client.update_run(run_id, status="RUNNING")
        client.set_tag(run_id, process.TAG, process.me())
        done = _steps(client, run_id)
    telemetry.note(mlflow_run=run_id)
    run = TrackedRun(client, run_id, _mirror(tracking, run_id, stage, params), done)
    telemetry.note(tracking_opened_in_seconds=round(time.perf_counter() - started, 3))
    try:
        yield run
    except BaseException as error:
        try:
            run._close("FAILED" if isinstance(error, Exception) else "KILLED")
        except Exception as second:  # the first error is the one to tell
            _log.warning("MLflow run %s could not be closed: %s", run_id, second)
        raise
    run._close("FINISHED")
    telemetry.note(tracking_seconds=round(run.seconds, 3))


@contextmanager
def nested(run_id: str | None, tags: Mapping[str, str] | None = None) -> Iterator[None]:
    """Runs made within the block are shown below this run, if it is one, and carry these tags."""
    below = {} if run_id is None else {"mlflow.parentRunId": run_id}
    token = _nested.set({**below, **(tags or {})})
    try:
        yield
    finally:
        _nested.reset(token)


def reconcile(tracking: Tracking) -> list[str]:
    """Marks runs KILLED that are RUNNING without a process; returns their ids.

    Runs of living processes, of other hosts, and those that Hallmark did not make are left alone. Nothing is imported
    or made where a SQLite store shows that there is nothing to do.
    """
    path = address.database(address.tracking_uri())
    found = lookup.running(path) if path is not None else lookup.UNKNOWN
    if found == {}:
        return []
    if isinstance(found, lookup.Unknown):
        client = store.client()
        experiment = store.experiment(client, tracking.experiment)
        runs = client.search_runs([experiment], "attributes.status = 'RUNNING'", max_results=1000)
        found = {run.info.run_id: run.data.tags for run in runs}
    dead = sorted(run for run, tags in found.items() if process.TAG in tags and not process.alive(tags[process.TAG]))
    if dead:
        client = store.client()
        for run_id in dead:
            client.set_terminated(run_id, "KILLED")
    return dead


def run_of(client: MlflowClient, experiment: str, path: Path) -> str | None:
    """The latest run that made a file of these bytes (see :meth:`TrackedRun.output`), None if no run did."""
    condition = f"tags.`{OUTPUT}.{path.name}` = '{digest(path)}'"
    runs = client.search_runs([experiment], condition, max_results=1, order_by=["attributes.start_time DESC"])
    return str(runs[0].info.run_id) if runs else None


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flatten(params: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Nested params as dotted names and text; a section with a name that MLflow refuses, as JSON.

    >>> flatten({"optimizer": {"name": "adamw", "lr": 0.1}, "epochs": 3})
    {'optimizer.name': 'adamw', 'optimizer.lr': '0.1', 'epochs': '3'}
    >>> flatten({"costs": {"cat (black)": {"dog": 2.0}}})
    {'costs': '{"cat (black)": {"dog": 2.0}}'}
    """
    flat: dict[str, str] = {}
    for name, value in params.items():
        if isinstance(value, dict) and not _is_named_plainly(value):
            flat[f"{prefix}{name}"] = json.dumps(value, ensure_ascii=False)
        elif isinstance(value, dict):
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = str(value)
    return flat


def _is_named_plainly(section: Mapping[str, object]) -> bool:
    """Whether MLflow takes each name of a section, and of those in it, in a param's name."""
    return all(
        re.fullmatch(r"[\w .:-]+", name) is not None and (not isinstance(value, dict) or _is_named_plainly(value))
        for name, value in section.items()
    )


def _unfinished(client: MlflowClient, experiment: str, key: str, stage: str) -> str | None:
    condition = f"tags.`{KEY}` = '{key}' and tags.`{STAGE}` = '{stage}'"
    runs = client.search_runs([experiment], condition, max_results=1, order_by=["attributes.start_time DESC"])
    if not runs or runs[0].info.status == "FINISHED":
        return None
    owner = runs[0].data.tags.get(process.TAG)
    if runs[0].info.status == "RUNNING" and (owner is None or process.alive(owner)):
        return None
    return str(runs[0].info.run_id)


def _create(client: MlflowClient, experiment: str, key: str, stage: str, params: Mapping[str, object]) -> str:
    import getpass

    from mlflow.entities import Param

    tags = {KEY: key, STAGE: stage, process.TAG: process.me(), "mlflow.source.name": f"hallmark {stage}"}
    try:
        tags["mlflow.user"] = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        tags["mlflow.user"] = "unknown"
    tags |= _nested.get()
    run_id = str(client.create_run(experiment, tags=tags, run_name=f"{stage}-{key[:8]}").info.run_id)
    flat = [Param(name, value[:_LENGTH]) for name, value in flatten(params).items()]
    for start in range(0, len(flat), _PARAMS):
        client.log_batch(run_id, params=flat[start : start + _PARAMS])
    return run_id


def _steps(client: MlflowClient, run_id: str) -> dict[str, int]:
    names = client.get_run(run_id).data.metrics
    return {name: max(point.step for point in client.get_metric_history(run_id, name)) for name in names}


def _mirror(tracking: Tracking, run_id: str, stage: str, params: Mapping[str, object]) -> Mirror | None:
    if tracking.wandb == "off":
        return None
    from hallmark.tracking.mirror import Mirror

    return Mirror(tracking.experiment, run_id, mode=tracking.wandb, stage=stage, params=flatten(params))
