"""The trials of a study as Prefect tasks, their inputs, and the baseline: the current params.yaml."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, Failed

from flows.crossvalidation import divide, fold_tree
from flows.experiments import CODE, TRAIN, Bench, all_done, unit_of_work
from hallmark.contracts import durable
from hallmark.contracts.errors import InputError
from hallmark.experiments import trial
from hallmark.experiments.pruning import Pruned
from hallmark.experiments.study import Exhausted, Study

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from flows.study_lines import Progress
    from hallmark.experiments.space import Space
    from hallmark.tracking.tracked_run import TrackedRun

BASELINE_MS = "baseline_ms"


@dataclass(frozen=True, kw_only=True)
class Request:
    """The command's options."""

    space: str
    trials: int
    sampler: str
    pruner: str
    jobs: int
    storage: str | None
    study: str | None
    seconds: float | None
    latency: bool
    folds: int
    baseline: bool
    confirm: int
    apply: bool


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """A trial's training data, and the paths of the images that score it (None: the validation images)."""

    data: Path
    judged: tuple[str, ...] | None


def inputs_of(bench: Bench, request: Request, trees: Path) -> list[Inputs]:
    """The workspace's inputs, or the prepared inputs of each fold."""
    if not request.folds:
        return [Inputs(data=bench.root.resolve(), judged=None)]
    divided, warnings = divide(bench, folds=request.folds, repeats=1, stratified=True)
    for warning in warnings:
        bench.console.warn(f"Note: {warning}")
    fold_trees = [(fold, fold_tree(bench, fold, trees)) for fold in divided]
    work = [partial(bench.prepare, tree) for _, tree in fold_trees]
    all_done([unit_of_work(f"inputs {fold.name}", body) for (fold, _), body in zip(fold_trees, work, strict=True)])
    return [Inputs(data=tree.folder, judged=fold.held_out) for fold, tree in fold_trees]


def baseline_of(
    bench: Bench, study: Study, run: TrackedRun, params: Any, inputs: Sequence[Inputs], *, latency: bool
) -> float:
    """The quality of the current params.yaml, trained once per study."""
    recorded = study.noted("baseline")
    if recorded is not None:
        return float(recorded)
    outcomes = [bench.train(job) for job in jobs_of(bench, run, params, inputs, latency=latency)]
    quality = statistics.fmean(outcome.objective for outcome in outcomes)
    spent = [outcome.latency_ms for outcome in outcomes if outcome.latency_ms is not None]
    if spent:
        study.note(BASELINE_MS, statistics.fmean(spent))
    in_space = study.start_from(
        _values(study.space, params, outcomes[0]),
        quality=quality,
        latency_ms=statistics.fmean(spent) if spent else None,
        why="current params.yaml",
    )
    study.note("baseline", quality)
    what = "  (counts as a trial: its values are in the space)" if in_space else ""
    bench.console.say(f"  current params.yaml    {quality:.4f}   {sum(each.seconds for each in outcomes):6.1f} s{what}")
    return quality


def _values(searched: Space, params: Any, outcome: trial.Outcome) -> dict[str, Any]:
    """The values of params.yaml by key of the space; ``auto`` becomes the resolved value where that is recorded."""
    values: dict[str, Any] = {}
    for dimension in searched.dimensions:
        section, _, name = dimension.key.partition(".")
        value = getattr(params if section == "train" else params.model, name)
        values[dimension.key] = value if value in dimension.choices else outcome.resolved.get(dimension.key, value)
    return values


def jobs_of(
    bench: Bench, run: TrackedRun, params: Any, inputs: Sequence[Inputs], *, latency: bool, follow: Any = None
) -> list[trial.Job]:
    """The trainings of a trial: one, or one per fold."""
    return [
        trial.Job(
            stage=TRAIN,
            package="tasks",
            params=params,
            data=each.data,
            folder=bench.folder / "trials" / trial.identity(TRAIN, params, each.data, CODE, latency=latency),
            cache=bench.cache,
            parent=run.run_id,
            follow=follow,
            judged=each.judged,
            latency=latency,
        )
        for each in inputs
    ]


def trial_task(
    bench: Bench,
    study: Study,
    run: TrackedRun,
    trained_with: Any,
    inputs: Sequence[Inputs],
    progress: Progress,
    request: Request,
    started: float,
) -> Any:
    def body() -> Any:
        if request.seconds is not None and time.monotonic() - started >= request.seconds:
            return Completed(name="Skipped", message="the time limit is reached")
        try:
            number, values = study.ask()
        except Exhausted as end:
            progress.end(str(end))
            return Completed(name="Skipped", message=str(end))
        jobs: list[trial.Job] = []
        try:
            follow = study.follower(number)
            jobs = jobs_of(bench, run, trained_with(values), inputs, latency=request.latency, follow=follow)
            outcomes = [bench.train(job) for job in jobs]
        except Pruned as pruned:
            for job in jobs:
                durable.remove(job.folder)
            study.tell_pruned(number)
            progress.trial(number, values, None, f"pruned: {pruned}")
            return Completed(name="Pruned", message=str(pruned))
        except InputError as error:
            study.tell_failed(number, str(error))
            progress.trial(number, values, None, f"failed: {error}")
            return Failed(message=str(error), data=error)
        except BaseException as error:
            study.tell_failed(number, str(error), killed=True)
            raise
        quality = statistics.fmean(outcome.objective for outcome in outcomes)
        seconds = sum(outcome.seconds for outcome in outcomes)
        facts = {"seconds": round(seconds, 3), "mlflow_runs": [outcome.mlflow_run for outcome in outcomes]}
        spent = [outcome.latency_ms for outcome in outcomes if outcome.latency_ms is not None]
        study.tell(number, quality=quality, latency_ms=statistics.fmean(spent) if spent else None, facts=facts)
        progress.trial(number, values, quality, f"{seconds:6.1f} s")
        return Completed(message=f"{quality:.4f}")

    return task(name="trial", cache_policy=NO_CACHE, persist_result=False)(body)
