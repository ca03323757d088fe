"""Sends a journal to MLflow.

Delivery is idempotent: MLflow's SQL stores keep one of equal metric points (time included), and a run is identified by
the name of its journal or by its work.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hallmark.tracking import process, reachability, store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlflow.tracking import MlflowClient

    from hallmark.tracking.journal import Event, Journal

KEY = "hallmark.key"
STAGE = "hallmark.stage"
OUTPUT = "hallmark.output"
JOURNAL = "hallmark.journal"
_BATCH = 1000  # metrics, MLflow's limit
_PARAMS = 100  # params and tags in a batch, MLflow's limit
_IN_ORDER = ("resumed", "end")  # sent after all earlier events
# permanent errors; any other, a refused password included, is retried
_REFUSALS = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "BAD_REQUEST")

_log = logging.getLogger(__name__)


def passes(error: Exception) -> bool:
    """Whether a retry may succeed: the store is unreachable, busy or locked."""
    from mlflow.exceptions import MlflowException

    return not (isinstance(error, MlflowException) and error.error_code in _REFUSALS)


def reason(error: Exception, uri: str) -> str:
    """One line on why delivery failed: the server's fault if it is unreachable, else the error's first line."""
    return reachability.fault(uri) or next(iter(str(error).strip().splitlines()), type(error).__name__)


def attach(journal: Journal, client: MlflowClient) -> bool:
    """Attaches a journal to its run: the one it has, an interrupted one of the same work, or a new one.

    False if the journal belongs to the run that wrote a file, and there is none.
    """
    if journal.run_id is not None:
        return True
    header = journal.header
    experiment = store.experiment(client, header.experiment)
    if header.made is not None:
        run_id = maker(client, experiment, *header.made)
        if run_id is not None:
            journal.add("run", run_id=run_id, done={})
        return run_id is not None
    run_id = _unfinished(client, experiment, journal)
    done = {}
    if run_id is None:
        run_id = _create(client, experiment, journal)
    else:
        done = _steps(client, run_id)
        client.update_run(run_id, status="RUNNING")
        client.set_tag(run_id, process.TAG, header.tags[process.TAG])
    journal.add("run", run_id=run_id, done=done)
    return True


def deliver(journal: Journal, client: MlflowClient) -> None:
    """Sends undelivered events. Raises MLflow's error if a retry may succeed."""
    if not attach(journal, client):
        return
    try:
        _send(journal, client)
    except _Unknown:
        # the store lost the run, as an in-memory one does: send the whole journal to a new run
        journal.acknowledge(0)
        journal.add(
            "run", run_id=_create(client, store.experiment(client, journal.header.experiment), journal), done={}
        )
        _send(journal, client)


class _Unknown(Exception):
    """The store does not know the run."""


@dataclass(frozen=True)
class _Batch:
    """Events that are sent together, in any order."""

    metrics: list[Any] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    single: list[Event] = field(default_factory=list)

    @property
    def full(self) -> bool:
        return len(self.metrics) >= _BATCH or len(self.tags) + len(self.params) >= _PARAMS


def _send(journal: Journal, client: MlflowClient) -> None:
    assert journal.run_id is not None, "a journal is attached before it is sent"
    batch, at = _Batch(), journal.delivered
    for end, event in journal.events(journal.delivered):
        alone = event["kind"] in _IN_ORDER
        if alone or batch.full:
            _flush(journal, client, batch)
            journal.acknowledge(at)
            batch = _Batch()
        _gather(event, batch, journal.done)
        at = end
    _flush(journal, client, batch)
    journal.acknowledge(at)


def _gather(event: Event, batch: _Batch, done: Mapping[str, int]) -> None:
    from mlflow.entities import Metric

    if event["kind"] == "metrics":
        step, moment = event["step"], event["at"]
        batch.metrics.extend(
            Metric(name, value, moment, step)
            for name, value in event["values"].items()
            if step > done.get(name, step - 1)
        )
    elif event["kind"] == "tags":
        batch.tags.update(event["tags"])
    elif event["kind"] == "params":
        batch.params.update(event["params"])
    else:
        batch.single.append(event)


def _flush(journal: Journal, client: MlflowClient, batch: _Batch) -> None:
    from mlflow.entities import Param, RunTag

    run_id = str(journal.run_id)
    params = [Param(name, value) for name, value in batch.params.items()]
    tags = [RunTag(name, value) for name, value in batch.tags.items()]
    _batches(client, run_id, "metrics", batch.metrics, _BATCH)
    _batches(client, run_id, "params", params, _PARAMS)
    _batches(client, run_id, "tags", tags, _PARAMS)
    for event in batch.single:
        _refusable(run_id, event["kind"], lambda event=event: _single(journal, client, run_id, event))


def _single(journal: Journal, client: MlflowClient, run_id: str, event: Event) -> None:
    match event["kind"]:
        case "file":
            path = journal.folder / event["file"]
            send = client.log_artifacts if path.is_dir() else client.log_artifact
            send(run_id, str(path), event["folder"] or None)
        case "dataset":
            log_dataset(client, run_id, event["dataset"], context=event["context"])
        case "figures":
            log_figures(client, run_id, event["values"], at=event["at"])
        case "resumed":
            client.update_run(run_id, status="RUNNING")
            client.set_tag(run_id, process.TAG, event["process"])
        case "end":
            client.set_terminated(run_id, event["status"], event["at"])


def log_dataset(
    client: MlflowClient, run_id: str, dataset: Mapping[str, str], *, context: str, model_id: str | None = None
) -> None:
    """Adds a data set to a run's inputs: name, digest, source_type, source, and schema and profile as JSON."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelInput

    tags = [InputTag("mlflow.data.context", context)]
    models = None if model_id is None else [LoggedModelInput(model_id)]
    client.log_inputs(run_id, [DatasetInput(Dataset(**dataset), tags)], models)


def log_figures(
    client: MlflowClient,
    run_id: str,
    values: Mapping[str, float],
    *,
    at: int,
    model_id: str | None = None,
    dataset: Mapping[str, str] | None = None,
) -> None:
    """Sets final figures of a run and, if named, of a model; figures already logged get no second point."""
    from mlflow.entities import Metric

    recorded = {name: points[-1] for name in values if (points := client.get_metric_history(run_id, name))}
    same = {name: point.timestamp for name, point in recorded.items() if point.value == values[name]}
    held = set(same)
    if model_id is not None:
        of_it = {metric.key: metric.value for metric in client.get_logged_model(model_id).metrics or []}
        held = {name for name in same if of_it.get(name) == values[name]}
    fresh = {name: value for name, value in values.items() if name not in held}
    of_model: dict[str, Any] = {"model_id": model_id}
    if model_id is not None and dataset is not None:
        of_model |= {"dataset_name": dataset["name"], "dataset_digest": dataset["digest"]}
    metrics = [Metric(name, value, same.get(name, at), 0, **of_model) for name, value in fresh.items()]
    for part in _parts(metrics, _BATCH):
        client.log_batch(run_id, metrics=part)


def _batches(client: MlflowClient, run_id: str, what: str, items: list[Any], size: int) -> None:
    """Sends in parts of ``size`` items; a refused part is split until only the faulty items are left out."""
    for part in _parts(items, size):
        if len(part) == 1:
            _refusable(run_id, f"{what} '{part[0].key}'", lambda part=part: client.log_batch(run_id, **{what: part}))
        elif not _taken(lambda part=part: client.log_batch(run_id, **{what: part})):
            _batches(client, run_id, what, part, len(part) // 2)


def _refusable(run_id: str, what: str, send: Any) -> None:
    """Sends; a permanent refusal is logged and skipped, so that later events still arrive."""
    _taken(send, message=f"MLflow refuses {what} of run {run_id}")


def _taken(send: Any, message: str = "") -> bool:
    """Whether MLflow accepted it; False for a permanent refusal, which is logged under ``message`` if given."""
    from mlflow.exceptions import MlflowException

    try:
        send()
    except MlflowException as error:
        if passes(error):
            raise
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            raise _Unknown from error
        if message:
            _log.warning("%s: %s", message, str(error).splitlines()[0])
        return False
    return True


def _parts(items: list[Any], size: int) -> Iterator[list[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _unfinished(client: MlflowClient, experiment: str, journal: Journal) -> str | None:
    """The unfinished run that this journal created before a kill, or the last unfinished one of the same work."""
    header = journal.header
    condition = f"tags.`{KEY}` = '{header.key}' and tags.`{STAGE}` = '{header.stage}'"
    runs = client.search_runs([experiment], condition, max_results=1, order_by=["attributes.start_time DESC"])
    if not runs:
        return None
    tags = runs[0].data.tags
    if tags.get(JOURNAL) != journal.name:
        owner = tags.get(process.TAG)
        busy = runs[0].info.status == "RUNNING" and (owner is None or process.alive(owner))
        if busy or runs[0].info.status == "FINISHED":
            return None
    return str(runs[0].info.run_id)


def maker(client: MlflowClient, experiment: str, name: str, digest: str) -> str | None:
    """The latest run that recorded an output of that name and digest, None if there is none."""
    condition = f"tags.`{OUTPUT}.{name}` = '{digest}'"
    runs = client.search_runs([experiment], condition, max_results=1, order_by=["attributes.start_time DESC"])
    return str(runs[0].info.run_id) if runs else None


def _create(client: MlflowClient, experiment: str, journal: Journal) -> str:
    journal.check_owned()
    header = journal.header
    tags = {**header.tags, KEY: header.key, STAGE: header.stage, JOURNAL: journal.name}
    run = client.create_run(experiment, start_time=header.started, tags=tags, run_name=header.name)
    return str(run.info.run_id)


def _steps(client: MlflowClient, run_id: str) -> dict[str, int]:
    names = client.get_run(run_id).data.metrics
    return {name: max(point.step for point in client.get_metric_history(run_id, name)) for name in names}
