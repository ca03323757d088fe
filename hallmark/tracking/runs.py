"""A training that can be followed live, and taken up again after a kill.

What a run tells goes to its journal on disk, at once, and from there to MLflow by a courier in a thread of its own:
the training never waits for MLflow, and loses nothing where MLflow is away. MLflow is spoken to through its client with
explicit run ids: its active run is thread-local.

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
import shutil
import time
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from hallmark.contracts import telemetry
from hallmark.tracking import address, delivery, journal, lookup, outbox, process, reachability, store
from hallmark.tracking.courier import Courier
from hallmark.tracking.delivery import OUTPUT
from hallmark.tracking.journal import Header

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy as np
    from mlflow.tracking import MlflowClient
    from numpy.typing import NDArray

    from hallmark.tracking.journal import Journal
    from hallmark.tracking.params import Tracking
    from hallmark.tracking.wandb_run import WandbRun

NOTE = "mlflow.note.content"  # the description of a run or model, as Markdown
_LENGTH = 6000  # characters of a param's value, MLflow's limit
_TAG = 5000  # characters of a tag's value that every store takes

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
    """One MLflow run, and the ``seconds`` that its work has waited for tracking. Made by :func:`open_run`."""

    def __init__(self, own: Journal, courier: Courier, wandb: WandbRun | None) -> None:
        self._journal, self._courier, self._wandb = own, courier, wandb
        self._done = {**own.done, **own.steps}  # the last step of each metric from before a kill
        self.seconds = 0.0
        self._clock_goes = False

    @property
    def run_id(self) -> str:
        """MLflow's id of the run; "" as long as MLflow has not been reached."""
        return self._journal.run_id or ""

    @_clocked
    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Adds values of a step; a step that an earlier life of this run logged is left out."""
        fresh = {name: float(value) for name, value in values.items() if step > self._done.get(name, step - 1)}
        if not fresh:
            return
        self._journal.add("metrics", at=_now(), step=step, values=fresh)
        self._courier.told()
        if self._wandb is not None:
            self._wandb.metrics(fresh, step)

    @_clocked
    def flush(self) -> None:
        """Waits until MLflow has what was told so far, or has been tried."""
        self._courier.flush()

    @_clocked
    def params(self, params: Mapping[str, object]) -> None:
        """Adds params that were not known when the run began; MLflow refuses to change one."""
        self._journal.add("params", params=_shortened(params))

    @_clocked
    def tag(self, name: str, value: str) -> None:
        """Sets a tag of the run."""
        self._journal.add("tags", tags={name: value[:_TAG]})

    @_clocked
    def dataset(self, dataset: Mapping[str, str], *, context: str) -> None:
        """Adds a data set to the run's inputs, see :func:`hallmark.tracking.dataset.describe`."""
        self._journal.add("dataset", dataset=dict(dataset), context=context)

    def output(self, path: Path) -> None:
        """Records that the run made this file, by the digest of its bytes: :func:`run_of` finds the run by it."""
        self.tag(f"{OUTPUT}.{path.name}", digest(path))

    @_clocked
    def image(self, name: str, pixels: NDArray[np.uint8], step: int) -> None:
        """Keeps an image, uint8 [height, width, channels] with 1, 3 or 4 channels, as images/<name>/<step>.png."""
        from PIL import Image

        assert pixels.ndim == 3, f"an image has three axes, this one {pixels.ndim}"
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        path = self._journal.file(f"{step:08d}.png")
        image.save(path)
        self._add_file(path, f"images/{name}")
        if self._wandb is not None:
            self._wandb.image(name, pixels, step)

    @_clocked
    def figure(self, name: str, figure: Any) -> None:
        """Keeps a matplotlib figure as figures/<name>.png."""
        path = self._journal.file(f"{name}.png")
        figure.savefig(path, metadata={"Software": None})
        self._add_file(path, "figures")

    @_clocked
    def artifact(self, path: Path, folder: str = "") -> None:
        """Keeps a file, or a folder with what is in it, as it is now."""
        copy = self._journal.file(path.name)
        if path.is_dir():
            shutil.copytree(path, copy)
        else:
            shutil.copyfile(path, copy)
        self._add_file(copy, folder)

    def _add_file(self, path: Path, folder: str) -> None:
        self._journal.add("file", file=path.relative_to(self._journal.folder).as_posix(), folder=folder)
        self._courier.told()

    @_clocked
    def _close(self, status: str) -> None:
        self._journal.add("end", status=status, at=_now())
        self._courier.finish()
        if self._wandb is not None:
            self._wandb.close(failed=status != "FINISHED")
        telemetry.note(mlflow_run=self.run_id or None, tracking_waits=self._journal.waits)
        if self._journal.waits:
            self._journal.release()
        else:
            self._journal.remove()


@contextmanager
def open_run(
    tracking: Tracking,
    *,
    key: str,
    stage: str,
    params: Mapping[str, object],
    name: str = "",
    tags: Mapping[str, str] | None = None,
    needs_store: bool = True,
) -> Iterator[TrackedRun]:
    """A run for the work that ``key`` stands for (a digest of its inputs).

    A run of that key and stage that did not finish, and whose process is gone, is taken up again; else a new one is
    made, with that name. Ends FINISHED, FAILED on an exception, KILLED on an interrupt; after a SIGKILL it is left
    RUNNING, for :func:`recover`. Nested params are flattened with dots.

    Once the run is open, an outage of MLflow stops nothing: what was logged waits in ``.hallmark/tracking`` and is
    delivered when MLflow is back, in this run or by :func:`hallmark.tracking.outbox.deliver`. Raises MachineError where
    the store is away already, unless the work does not ``need`` it, or where it is damaged.
    """
    started = time.perf_counter()
    told = {process.TAG: process.me(), "mlflow.source.name": f"hallmark {stage}", "mlflow.user": _user()}
    header = Header(
        uri=address.tracking_uri(),
        experiment=tracking.experiment,
        stage=stage,
        key=key,
        name=name or f"{stage} {key[:8]}",
        started=_now(),
        tags={**told, **_nested.get(), **{each: value[:_TAG] for each, value in (tags or {}).items()}},
    )
    own = journal.begin(header, Path())
    known = own.waits or own.run_id is not None
    if known:
        own.add("resumed", process=process.me())
    elif params:
        own.add("params", params=_shortened(params))
    courier = Courier(own)
    try:
        why = _attached(own)
        if why is not None:
            if needs_store:
                raise reachability.away(header.uri, why)
            courier.lost(why)
        telemetry.note(mlflow_run=own.run_id)
        run = TrackedRun(own, courier, _wandb_run(tracking, own.run_id or own.name, stage, params))
    except BaseException:
        if known:
            own.release()
        else:  # nothing was done that a run could tell of
            own.remove()
        raise
    telemetry.note(tracking_opened_in_seconds=round(time.perf_counter() - started, 3))
    courier.start()
    try:
        yield run
    except BaseException as error:
        try:
            run._close("FAILED" if isinstance(error, Exception) else "KILLED")
        except OSError as second:  # the first error is the one to tell
            _log.warning("the end of MLflow run %s is not on record: %s", run.run_id, second)
        raise
    run._close("FINISHED")
    telemetry.note(tracking_seconds=round(run.seconds, 3), tracking_courier_seconds=round(courier.seconds, 3))


def _attached(own: Journal) -> str | None:
    """Gives the journal its run; why MLflow cannot be reached, None if it was."""
    from requests import RequestException

    why = reachability.fault(own.header.uri)
    if why is not None:
        return why
    client = store.client()
    from mlflow.exceptions import MlflowException

    try:
        delivery.attach(own, client)
    except (MlflowException, RequestException) as error:
        if not delivery.passes(error):
            raise
        return str(error).splitlines()[0]
    return None


@contextmanager
def nested(run_id: str | None, tags: Mapping[str, str] | None = None) -> Iterator[None]:
    """Runs made within the block are shown below this run, if it is one, and carry these tags."""
    below = {} if run_id is None else {"mlflow.parentRunId": run_id}
    token = _nested.set({**below, **(tags or {})})
    try:
        yield
    finally:
        _nested.reset(token)


def recover(tracking: Tracking) -> list[str]:
    """Marks runs KILLED that are RUNNING without a process; returns their ids.

    Runs of living processes, of other hosts, and those that Hallmark did not make are left alone. Nothing is imported
    or made where a SQLite store shows that there is nothing to do. What such runs have left for MLflow is delivered
    before. Raises MachineError where the store is away.
    """
    outbox.deliver()
    reachability.check()
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
    return delivery.maker(client, experiment, path.name, digest(path))


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


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


def _now() -> int:
    """Milliseconds since the epoch, MLflow's unit of time."""
    return int(time.time() * 1000)


def _shortened(params: Mapping[str, object]) -> dict[str, str]:
    return {name: value[:_LENGTH] for name, value in flatten(params).items()}


def _wandb_run(tracking: Tracking, run_id: str, stage: str, params: Mapping[str, object]) -> WandbRun | None:
    if tracking.wandb == "off":
        return None
    from hallmark.tracking.wandb_run import WandbRun

    return WandbRun(tracking.experiment, run_id, mode=tracking.wandb, stage=stage, params=flatten(params))
