"""``hallmark tune``: searches values of params.yaml on validation images or folds; the test set is not used."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from prefect.futures import wait

from flows import trials
from flows.adapters import untagged
from flows.confirmation import confirm
from flows.experiments import CODE, TRAIN, Bench, conduct
from flows.study_lines import Progress, sum_up
from hallmark.contracts import durable
from hallmark.contracts.errors import InputError
from hallmark.contracts.runtime import state as private
from hallmark.experiments import space, trial
from hallmark.experiments.results import Tuned
from hallmark.experiments.study import Study, check
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


def tune(root: Path, params: Mapping[str, Any], request: trials.Request, console: Console) -> Tuned:
    """Starts or resumes a study until it has ``request.trials`` trials. Raises InputError for an invalid space."""
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
            f"--pruner {request.pruner} and --folds exclude each other: the folds of a trial train separately",
            remedy="drop one of them",
        )

    def work(bench: Bench) -> Tuned:
        trees = bench.folder / "trees"
        durable.remove(trees)  # what a killed run left; its stages are in DVC's cache
        try:
            return _search(bench, searched, request, trained_with, trials.inputs_of(bench, request, trees))
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
        console.say("Apply  nothing: no trial beat the current params.yaml")
    return tuned


def _search(
    bench: Bench, searched: Space, request: trials.Request, trained_with: Any, inputs: Sequence[trials.Inputs]
) -> Tuned:
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
        bench.console.warn(f"{recovered} trials of killed processes are repeated")
    bench.console.say(
        f"Study  {study.name}: {study.counted()} trials done, {max(0, request.trials - study.counted())} to do, "
        f"{request.jobs} in parallel"
    )
    settings = {"space": searched.facts(), "sampler": request.sampler, "pruner": request.pruner}
    with open_run(now.tracking, key=f"{NAME}-{study.name}", stage=NAME, params=settings) as run:
        baseline = (
            trials.baseline_of(bench, study, run, now, inputs, latency=request.latency) if request.baseline else None
        )
        left = max(0, request.trials - study.counted())
        progress = Progress(bench.console, study, total=request.trials, baseline=baseline)
        with untagged():
            futures = [
                trials.trial_task(bench, study, run, trained_with, inputs, progress, request, started).submit()
                for _ in range(left)
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
                jobs_of=lambda params: trials.jobs_of(bench, run, params, inputs, latency=False),
            )
        return _tuned(study, run, now, baseline, time.monotonic() - started, request.folds, confirmed)


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
        baseline_ms=study.noted(trials.BASELINE_MS) if baseline is not None else None,
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
        console.warn("Nothing applied: no trial completed")
        return
    if tuned.baseline is not None and (best.quality or 0.0) <= tuned.baseline:
        console.warn("Nothing applied: no trial beat the current params.yaml")
        return
    values = best.values
    if tuned.confirmed is not None:
        console.table(
            f"Retrained with {len(tuned.confirmed.seeds)} new seeds; params.yaml: {tuned.confirmed.baseline:.4f}",
            experiment_pages.CONFIRMED_HEADINGS,
            experiment_pages.confirmed_rows(tuned.confirmed),
        )
        if tuned.confirmed.winner is None:
            console.warn("Nothing applied: no trial is significantly better over new seeds")
            return
        values = tuned.confirmed.winner.values
    configure(STAGES, root, overrides.as_overrides(values), package="tasks")
    console.say("Applied to params.yaml: " + " ".join(overrides.as_overrides(values)))
