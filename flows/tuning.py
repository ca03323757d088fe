"""``hallmark tune``: values of params.yaml searched for on validation images or folds; the test set stays closed."""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.futures import wait
from prefect.states import Completed, Failed

from flows.adapters import untagged
from flows.confirmation import confirm
from flows.crossvalidation import divide, fold_tree
from flows.experiments import CODE, TRAIN, Bench, all_done, conduct, unit_of_work
from flows.study_lines import Progress, sum_up
from hallmark.contracts import durable
from hallmark.contracts.errors import InputError
from hallmark.contracts.runtime import state as private
from hallmark.experiments import space, trial
from hallmark.experiments.pruning import Pruned
from hallmark.experiments.results import Tuned
from hallmark.experiments.study import Exhausted, Study, check
from hallmark.experiments.study_storage import default_storage
from hallmark.judgement.objective import describe
from hallmark.pipeline import overrides
from hallmark.pipeline.configuration import configure, params_with
from hallmark.pipeline.params import read
from hallmark.reporting import experiment_pages
from hallmark.tracking.runs import open_run
from tasks import STAGES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from flows.console import Console
    from hallmark.experiments.confirmation import Confirmed
    from hallmark.experiments.space import Space
    from hallmark.experiments.study import Row
    from hallmark.tracking.tracked_run import TrackedRun

NAME = "tune"
BASELINE_MS = "baseline_ms"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the command line asks for."""

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


def tune(root: Path, params: Mapping[str, Any], request: Request, console: Console) -> Tuned:
    """Runs or goes on with a study until it has ``request.trials`` trials. Raises InputError for a wrong space."""
    document = read(root / "params.yaml")
    searched = space.read(
        space.find(request.space, root / "conf"),
        sections=("train", "model"),
        check=lambda values: params_with(STAGES, document, values, package="tasks"),
    )

    def trained_with(values: Mapping[str, Any]) -> Any:
        return params_with(STAGES, document, values, package="tasks")["train"]

    check(sampler=request.sampler, pruner=request.pruner, latency=request.latency)
    if request.folds == 1:
        raise InputError("--folds is 1", remedy="give 2 or more, or 0 to judge on the validation images")
    if request.folds and request.pruner != "none":
        raise InputError(
            f"--pruner {request.pruner} and --folds do not go together: the folds of a trial end apart",
            remedy="leave out one of them",
        )

    def work(bench: Bench) -> Tuned:
        trees = bench.folder / "trees"
        durable.remove(trees)  # what a killed run left; its stages are in DVC's cache
        try:
            return _search(bench, searched, request, trained_with, _inputs(bench, request, trees))
        finally:
            durable.remove(trees)

    tuned: Tuned = conduct(NAME, root, params, console, jobs=request.jobs, work=work)
    page = root / "reports" / "tuning.html"
    durable.write_text(page, experiment_pages.tuning(tuned, searched))
    sum_up(tuned, console, page)
    best = tuned.front[0] if tuned.front else None
    if request.apply:
        _apply(root, tuned, best, console)
    elif best is not None and (tuned.baseline is None or (best.quality or 0.0) > tuned.baseline):
        console.say("Apply  hallmark configure " + " ".join(overrides.as_overrides(best.values)))
    elif best is not None:
        console.say("Apply  nothing: no trial was better than params.yaml as it is")
    return tuned


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a trial trains on and is judged by: paths below ``data``, None for the validation images."""

    data: Path
    judged: tuple[str, ...] | None


def _inputs(bench: Bench, request: Request, trees: Path) -> list[Inputs]:
    """The workspace's own, or those of each fold, prepared."""
    if not request.folds:
        return [Inputs(data=bench.root.resolve(), judged=None)]
    divided, told = divide(bench, folds=request.folds, repeats=1, stratified=True)
    for warning in told:
        bench.console.warn(f"Note: {warning}")
    made = [(fold, fold_tree(bench, fold, trees)) for fold in divided]
    work = [partial(bench.prepare, tree) for _, tree in made]
    all_done([unit_of_work(f"inputs {fold.name}", body) for (fold, _), body in zip(made, work, strict=True)])
    return [Inputs(data=tree.place, judged=fold.held_out) for fold, tree in made]


def _search(bench: Bench, searched: Space, request: Request, trained_with: Any, inputs: Sequence[Inputs]) -> Tuned:
    started = time.monotonic()
    now = bench.params["train"]
    facts = {"space": searched.facts(), "latency": request.latency, "folds": request.folds}
    identity = trial.identity(TRAIN, now, bench.root, CODE, **facts)
    study = Study(
        request.storage or default_storage(private(bench.root)),
        request.study or f"{searched.name}-{identity[:8]}",
        searched,
        sampler=request.sampler,
        pruner=request.pruner,
        latency=request.latency,
        seed=now.seed,
    )
    recovered = study.recover()
    if recovered:
        bench.console.warn(f"{recovered} trials of a killed process are tried again")
    bench.console.say(
        f"Study  {study.name}: {study.counted()} trials done, {max(0, request.trials - study.counted())} to do, "
        f"{request.jobs} at a time"
    )
    settings = {"space": searched.facts(), "sampler": request.sampler, "pruner": request.pruner}
    with open_run(now.tracking, key=f"{NAME}-{study.name}", stage=NAME, params=settings) as run:
        baseline = _baseline(bench, study, run, now, inputs, latency=request.latency) if request.baseline else None
        left = max(0, request.trials - study.counted())
        told = Progress(bench.console, study, total=request.trials, baseline=baseline)
        with untagged():
            futures = [
                _trial(bench, study, run, trained_with, inputs, told, request, started).submit() for _ in range(left)
            ]
        wait(futures)
        for future in futures:
            error = future.state.data if future.state.is_failed() else None
            if isinstance(error, BaseException) and not isinstance(error, InputError):
                raise error
        confirmed = None
        if request.apply and request.confirm and baseline is not None:
            confirmed = confirm(
                bench,
                study.rows(),
                baseline=baseline,
                seeds=request.confirm,
                trained_with=trained_with,
                jobs_of=lambda params: _jobs(bench, run, params, inputs, latency=False),
            )
        return _tuned(study, run, now, baseline, time.monotonic() - started, request.folds, confirmed)


def _baseline(
    bench: Bench, study: Study, run: TrackedRun, params: Any, inputs: Sequence[Inputs], *, latency: bool
) -> float:
    """The quality of params.yaml as it is, trained once for the study."""
    known = study.noted("baseline")
    if known is not None:
        return float(known)
    outcomes = [bench.train(job) for job in _jobs(bench, run, params, inputs, latency=latency)]
    quality = statistics.fmean(outcome.objective for outcome in outcomes)
    spent = [outcome.latency_ms for outcome in outcomes if outcome.latency_ms is not None]
    if spent:
        study.note(BASELINE_MS, statistics.fmean(spent))
    known_too = study.start_from(
        _values(study.space, params, outcomes[0]),
        quality=quality,
        latency_ms=statistics.fmean(spent) if spent else None,
        why="params.yaml as it is",
    )
    study.note("baseline", quality)
    what = "  (a trial too: its values are in the space)" if known_too else ""
    bench.console.say(f"  params.yaml as it is   {quality:.4f}   {sum(each.seconds for each in outcomes):6.1f} s{what}")
    return quality


def _values(searched: Space, params: Any, outcome: trial.Outcome) -> dict[str, Any]:
    """The values of params.yaml by key of the space, an ``auto`` as it was trained with, where that is on record."""
    found: dict[str, Any] = {}
    for dimension in searched.dimensions:
        section, _, name = dimension.key.partition(".")
        value = getattr(params if section == "train" else params.model, name)
        found[dimension.key] = value if value in dimension.choices else outcome.resolved.get(dimension.key, value)
    return found


def _jobs(
    bench: Bench, run: TrackedRun, params: Any, inputs: Sequence[Inputs], *, latency: bool, follow: Any = None
) -> list[trial.Job]:
    """The trainings of a trial: one, or one a fold."""
    return [
        trial.Job(
            stage=TRAIN,
            package="tasks",
            params=params,
            data=each.data,
            place=bench.folder / "trials" / trial.identity(TRAIN, params, each.data, CODE, latency=latency),
            cache=bench.cache,
            parent=run.run_id,
            follow=follow,
            judged=each.judged,
            latency=latency,
        )
        for each in inputs
    ]


def _trial(
    bench: Bench,
    study: Study,
    run: TrackedRun,
    trained_with: Any,
    inputs: Sequence[Inputs],
    told: Progress,
    request: Request,
    started: float,
) -> Any:
    def body() -> Any:
        if request.seconds is not None and time.monotonic() - started >= request.seconds:
            return Completed(name="Skipped", message="the time is up")
        try:
            number, values = study.ask()
        except Exhausted as end:
            told.end(str(end))
            return Completed(name="Skipped", message=str(end))
        jobs: list[trial.Job] = []
        try:
            follow = study.follower(number)
            jobs = _jobs(bench, run, trained_with(values), inputs, latency=request.latency, follow=follow)
            outcomes = [bench.train(job) for job in jobs]
        except Pruned as pruned:
            for job in jobs:
                durable.remove(job.place)
            study.tell_pruned(number)
            told.trial(number, values, None, f"pruned: {pruned}")
            return Completed(name="Pruned", message=str(pruned))
        except InputError as error:
            study.tell_failed(number, str(error))
            told.trial(number, values, None, f"failed: {error}")
            return Failed(message=str(error), data=error)
        except BaseException as error:
            study.tell_failed(number, str(error), killed=True)
            raise
        quality = statistics.fmean(outcome.objective for outcome in outcomes)
        seconds = sum(outcome.seconds for outcome in outcomes)
        facts = {"seconds": round(seconds, 3), "mlflow_runs": [outcome.mlflow_run for outcome in outcomes]}
        spent = [outcome.latency_ms for outcome in outcomes if outcome.latency_ms is not None]
        study.tell(number, quality=quality, latency_ms=statistics.fmean(spent) if spent else None, facts=facts)
        told.trial(number, values, quality, f"{seconds:6.1f} s")
        return Completed(message=f"{quality:.4f}")

    return task(name="trial", cache_policy=NO_CACHE, persist_result=False)(body)


def _tuned(
    study: Study,
    run: TrackedRun,
    params: Any,
    baseline: float | None,
    seconds: float,
    folds: int,
    confirmed: Confirmed | None,
) -> Tuned:
    tuned = Tuned(
        study=study.name,
        objective=describe(params.objective),
        folds=folds,
        baseline=baseline,
        baseline_ms=study.noted(BASELINE_MS) if baseline is not None else None,
        rows=study.rows(),
        front=study.front(),
        importances=study.importances(),
        seconds=seconds,
        confirmed=confirmed,
    )
    if tuned.front:
        best = tuned.front[0]
        values = {"best_quality": best.quality, "baseline_quality": baseline}
        run.metrics({name: value for name, value in values.items() if value is not None}, step=len(tuned.rows))
        run.tag("hallmark.best", json.dumps(best.values, sort_keys=True))
    return tuned


def _apply(root: Path, tuned: Tuned, best: Row | None, console: Console) -> None:
    if best is None:
        console.warn("Nothing to apply: no trial completed")
        return
    if tuned.baseline is not None and (best.quality or 0.0) <= tuned.baseline:
        console.warn("Nothing applied: no trial was better than params.yaml as it is")
        return
    values = best.values
    if tuned.confirmed is not None:
        console.table(
            f"Trained anew over {len(tuned.confirmed.seeds)} other seeds, params.yaml {tuned.confirmed.baseline:.4f}",
            experiment_pages.CONFIRMED_HEADINGS,
            experiment_pages.confirmed_rows(tuned.confirmed),
        )
        if tuned.confirmed.winner is None:
            console.warn("Nothing applied: no trial is surely better than params.yaml over other seeds")
            return
        values = tuned.confirmed.winner.values
    configure(STAGES, root, overrides.as_overrides(values), package="tasks")
    console.say("Applied to params.yaml: " + " ".join(overrides.as_overrides(values)))
