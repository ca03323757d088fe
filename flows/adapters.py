"""Stages as Prefect tasks: DVC decides whether a stage runs, and the task's final state reports its result.

The states: *Cached* (DVC found nothing changed), *Restored* (DVC's run cache held the outputs),
*Completed* (the stage ran), *Failed* (with the error's message).
"""

from __future__ import annotations

import importlib
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.context import TagsContext
from prefect.states import Completed, Failed

from flows.environment import end_in_time
from hallmark.contracts.errors import GateRefused, HallmarkError
from hallmark.pipeline import execution
from hallmark.pipeline.failures import as_hallmark_error
from hallmark.reporting.refusal import write_refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from prefect.client.schemas.objects import State
    from prefect.tasks import Task

    from hallmark.pipeline.stage import Stage
    from hallmark.versioning.workspace import Workspace

# only these two use a tracking server, perhaps over a network
RETRIES = {"train": 1, "register": 2}
STATE_NAMES = {"cached": "Cached", "restored": "Restored", "ran": "Completed"}


@dataclass(frozen=True, kw_only=True)
class Run:
    """What the stages of one run share. ``announce(stage, what, seconds)`` prints a stage's state."""

    root: Path
    workspace: Workspace
    params: Mapping[str, Any]
    announce: Callable[[str, str, float], None]
    outcomes: dict[str, tuple[str, float]] = field(default_factory=dict)


def settle(stage: Stage, run: Run) -> tuple[str, float]:
    """Brings a stage's outputs up to date: ('cached' | 'restored' | 'ran', seconds)."""
    started = time.perf_counter()
    outcome = run.workspace.settle(stage.name)
    if outcome != "stale" and stage.name == "register" and not registry_agrees(run.root):
        outcome = "stale"
    if outcome == "stale":
        module = importlib.import_module(f"tasks.{stage.name}")
        try:
            execution.execute(stage, module, run.params[stage.name], run.root)
        except GateRefused as refusal:
            write_refusal(stage.name, refusal, run.root)
            raise
        except SystemExit as end:
            if end.code == 128 + signal.SIGTERM:  # a training that SIGTERM stopped; it has saved a checkpoint
                end_in_time(signal.SIGTERM)
            raise
        run.workspace.record(stage.name)
        return "ran", time.perf_counter() - started
    seconds = time.perf_counter() - started
    execution.record_run(stage.name, {"seconds": round(seconds, 3), "state": outcome}, run.root)
    return outcome, seconds


def registry_agrees(root: Path) -> bool:
    """Whether the registry agrees with the receipt: it may have been emptied or replaced by another one."""
    from hallmark.tracking.registry import receipt_matches

    return receipt_matches(root / "data" / "register" / "receipt.json")


def _is_transient(_task: Task[..., Any], _run: Any, state: State[Any]) -> bool:
    """Whether a retry may help: after a network error or with a locked database."""
    error = state.data if isinstance(state.data, BaseException) else None
    return isinstance(error, ConnectionError | TimeoutError) or "database is locked" in str(error)


def raise_error(state: State[Any]) -> NoReturn:
    """Raises the error of a flow or task run that is not Completed."""
    error = state.result(raise_on_failure=False)
    raise error if isinstance(error, BaseException) else HallmarkError(f"run ended as {state.name}: {state.message}")


def untagged() -> TagsContext:
    """Tasks called in the block do not carry the flow run's tags.

    For a task with tags Prefect asks its server for concurrency slots, which takes up to two seconds a task.
    """
    return TagsContext(current_tags=set())


def as_task(stage: Stage, run: Run) -> Task[[], Any]:
    """The Prefect task of a stage in a run."""

    def body() -> State[Any]:
        logger = get_run_logger()
        run.announce(stage.name, "running", 0.0)
        try:
            outcome, seconds = settle(stage, run)
        except Exception as error:
            run.announce(stage.name, "failed", 0.0)
            message = str(as_hallmark_error(error, stage.name))
            logger.error("%s", message)
            return Failed(message=message, data=error)
        run.outcomes[stage.name] = outcome, seconds
        run.announce(stage.name, outcome, seconds)
        logger.info("%s: %s in %.1f s", stage.name, outcome, seconds)
        return Completed(name=STATE_NAMES[outcome], message=f"{outcome} in {seconds:.1f} s")

    return task(
        name=stage.name,
        task_run_name=stage.name,
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=RETRIES.get(stage.name, 0),
        retry_delay_seconds=3,
        retry_condition_fn=_is_transient,
    )(body)
