"""A training that can be followed live, and taken up again after a kill.

What a run tells goes to its journal on disk, at once, and from there to MLflow by a courier in a thread of its own:
the training never waits for MLflow, and loses nothing where MLflow is away. MLflow is spoken to through its client with
explicit run ids: its active run is thread-local.

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
    """A run for the work that ``key`` stands for (a digest of its inputs).

    A run of that key and stage that did not finish, and whose process is gone, is taken up again; else a new one is
    made, with that name. Ends FINISHED, FAILED on an exception, KILLED on an interrupt; after a SIGKILL it is left
    RUNNING, for :func:`recover`. Nested params are flattened with dots.

    Once the run is open, an outage of MLflow stops nothing: what was logged waits in ``.hallmark/tracking`` and is
    delivered when MLflow is back, in this run or by :func:`hallmark.tracking.outbox.deliver`. Raises MachineError where
    the store is away already, unless the work does not ``need`` it, or where it is damaged.
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
        else:  # nothing was done that a run could tell of
            own.remove()
        raise
    telemetry.note(tracking_opened_in_seconds=round(time.perf_counter() - started, 3))
    courier.start()
    try:
        yield run
    except BaseException as error:
        try:
            run.close("FAILED" if isinstance(error, Exception) else "KILLED")
        except OSError as second:  # the first error is the one to tell
            _log.warning("the end of MLflow run %s is not on record: %s", run.run_id, second)
        raise
    run.close("FINISHED")
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
    """The latest run that made a file of these bytes (see :meth:`TrackedRun.output`), None if no run did."""
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
