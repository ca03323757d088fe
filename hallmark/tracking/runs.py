"""MLflow runs that can be watched live and resumed after a kill.

A run writes each event to its journal on disk; a courier delivers the journal to MLflow. Training does not wait for a
server and loses nothing during an outage. All calls use MLflow's client with explicit run ids, because MLflow's active
run is thread-local.

    with open_run(tracking, key=digest_of_inputs, stage="train", params={"lr": 1e-3}) as run:
        run.metrics({"loss": 0.7}, step=0)
        run.output(Path("model.safetensors"))
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from hallmark.contracts import digests, telemetry
from hallmark.tracking import address, delivery, journal, lookup, outbox, process, reachability, store
from hallmark.tracking.courier import Courier
from hallmark.tracking.flat_params import flatten, shortened
from hallmark.tracking.journal import Header
from hallmark.tracking.tracked_run import TAG, TrackedRun, now

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlflow.tracking import MlflowClient

    from hallmark.tracking.journal import Journal
    from hallmark.tracking.params import Tracking
    from hallmark.tracking.wandb_run import WandbRun

NOTE = "mlflow.note.content"  # the description of a run or model, as Markdown

_log = logging.getLogger(__name__)
_nested: ContextVar[dict[str, str]] = ContextVar("hallmark_nested_run", default={})  # noqa: B039  it is replaced


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
    """Opens a run for the work identified by ``key``, a digest of its inputs.

    Resumes an unfinished run of that key and stage whose process is dead, else creates one called ``name``. The run
    ends FINISHED, FAILED on an exception, KILLED on an interrupt; a SIGKILL leaves it RUNNING, for :func:`recover`.
    Nested params are flattened with dots.

    Once the run is open, an outage of MLflow stops nothing: events wait in ``.hallmark/tracking`` and are delivered
    when MLflow is back, in this run or by :func:`hallmark.tracking.outbox.deliver`. Raises MachineError if the store is
    damaged, or if it is unreachable at the start and ``needs_store``.
    """
    started = time.perf_counter()
    own_tags = {process.TAG: process.me(), "mlflow.source.name": f"hallmark {stage}", "mlflow.user": _user()}
    header = Header(
        uri=address.tracking_uri(),
        experiment=tracking.experiment,
        stage=stage,
        key=key,
        name=name or f"{stage} {key[:8]}",
        started=now(),
        tags={**own_tags, **_nested.get(), **{each: value[:TAG] for each, value in (tags or {}).items()}},
    )
    own = journal.begin(header, Path())
    resumed = own.waits or own.run_id is not None
    if resumed:
        own.add("resumed", process=process.me())
    elif params:
        own.add("params", params=shortened(params))
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
        if resumed:
            own.release()
        else:  # nothing was logged
            own.remove()
        raise
    telemetry.note(tracking_opened_in_seconds=round(time.perf_counter() - started, 3))
    courier.start()
    try:
        yield run
    except BaseException as error:
        try:
            run.close("FAILED" if isinstance(error, Exception) else "KILLED")
        except OSError as second:  # the first error is the one to raise
            _log.warning("the end of MLflow run %s was not recorded: %s", run.run_id, second)
        raise
    run.close("FINISHED")
    telemetry.note(tracking_seconds=round(run.seconds, 3), tracking_courier_seconds=round(courier.seconds, 3))


def _attached(own: Journal) -> str | None:
    """Attaches the journal to its run; returns why MLflow cannot be reached, None if it can."""
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
    """Runs created in the block become children of ``run_id``, if given, and carry these tags."""
    below = {} if run_id is None else {"mlflow.parentRunId": run_id}
    token = _nested.set({**below, **(tags or {})})
    try:
        yield
    finally:
        _nested.reset(token)


def recover(tracking: Tracking) -> list[str]:
    """Marks RUNNING runs whose process is dead as KILLED and returns their ids, after delivering their journals.

    Runs of live processes, of other hosts and of other programs are skipped. If a SQLite store has nothing to recover,
    MLflow is not imported. Raises MachineError if the store is unreachable.
    """
    outbox.deliver()
    reachability.check()
    path = address.database(address.tracking_uri())
    running = lookup.running(path) if path is not None else lookup.UNKNOWN
    if running == {}:
        return []
    if isinstance(running, lookup.Unknown):
        client = store.client()
        experiment = store.experiment(client, tracking.experiment)
        runs = client.search_runs([experiment], "attributes.status = 'RUNNING'", max_results=1000)
        running = {run.info.run_id: run.data.tags for run in runs}
    dead = sorted(run for run, tags in running.items() if process.TAG in tags and not process.alive(tags[process.TAG]))
    if dead:
        client = store.client()
        for run_id in dead:
            client.set_terminated(run_id, "KILLED")
    return dead


def run_of(client: MlflowClient, experiment: str, path: Path) -> str | None:
    """The latest run that wrote a file of these bytes (see :meth:`TrackedRun.output`), None if no run did."""
    return delivery.maker(client, experiment, path.name, digests.of_file(path))


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


def _wandb_run(tracking: Tracking, run_id: str, stage: str, params: Mapping[str, object]) -> WandbRun | None:
    if tracking.wandb == "off":
        return None
    from hallmark.tracking.wandb_run import WandbRun

    return WandbRun(tracking.experiment, run_id, mode=tracking.wandb, stage=stage, params=flatten(params))
