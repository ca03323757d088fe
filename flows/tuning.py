"""``hallmark tune``: values of params.yaml searched for on the validation images; the test set stays closed."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.futures import wait
from prefect.states import Completed, Failed

from flows.experiments import CODE, TRAIN, Bench, conduct
from hallmark.contracts.errors import InputError
from hallmark.contracts.runtime import state as private
from hallmark.experiments import pages, space, trial
from hallmark.experiments.study import Pruned, Study, default_storage
from hallmark.judgement.objective import describe
from hallmark.pipeline import durable, overrides
from hallmark.pipeline.configuration import configure, params_with
from hallmark.pipeline.params import read
from hallmark.tracking.runs import open_run
from tasks import STAGES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from flows.console import Console
    from hallmark.experiments.space import Space
    from hallmark.experiments.study import Row
    from hallmark.tracking.runs import TrackedRun

NAME = "tune"


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
    baseline: bool
    apply: bool


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """A study as it stands. ``baseline`` is the quality of params.yaml as it is, None where it was not asked for."""

    study: str
    objective: str
    baseline: float | None
    rows: list[Row]
    front: list[Row]
    importances: dict[str, float]
    seconds: float


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

    def work(bench: Bench) -> Tuned:
        return _search(bench, searched, request, trained_with)

    tuned: Tuned = conduct(NAME, root, params, console, jobs=request.jobs, work=work)
    page = root / "reports" / "tuning.html"
    durable.write_text(page, pages.tuning(tuned, searched))
    _sum_up(tuned, console, page)
    best = tuned.front[0] if tuned.front else None
    if request.apply:
        _apply(root, tuned, best, console)
    elif best is not None and (tuned.baseline is None or (best.quality or 0.0) > tuned.baseline):
        console.say("Apply  hallmark configure " + " ".join(overrides.as_overrides(best.values)))
    return tuned


def _search(bench: Bench, searched: Space, request: Request, trained_with: Any) -> Tuned:
    started = time.monotonic()
    now = bench.params["train"]
    facts = {"space": searched.facts(), "latency": request.latency}
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
    revived = study.revive()
    if revived:
        bench.console.warn(f"{revived} trials of a killed process are tried again")
    left = max(0, request.trials - study.counted())
    bench.console.say(f"Study  {study.name}: {study.counted()} trials done, {left} to do, {request.jobs} at a time")
    settings = {"space": searched.facts(), "sampler": request.sampler, "pruner": request.pruner}
    with open_run(now.tracking, key=f"{NAME}-{study.name}", stage=NAME, params=settings) as run:
        baseline = _baseline(bench, study, run, now, latency=request.latency) if request.baseline else None
        told = _Progress(bench.console, study, total=request.trials, baseline=baseline)
        futures = [_trial(bench, study, run, trained_with, told, request, started).submit() for _ in range(left)]
        wait(futures)
        for future in futures:
            error = future.state.data if future.state.is_failed() else None
            if isinstance(error, BaseException) and not isinstance(error, InputError):
                raise error
        return _tuned(study, run, now, baseline, time.monotonic() - started)


def _baseline(bench: Bench, study: Study, run: TrackedRun, params: Any, *, latency: bool) -> float:
    """The quality of params.yaml as it is, trained once for the study."""
    known = study.noted("baseline")
    if known is not None:
        return float(known)
    outcome = bench.train(_job(bench, run, params, latency=latency))
    study.note("baseline", outcome.objective)
    bench.console.say(f"  params.yaml as it is   {outcome.objective:.4f}   {outcome.seconds:6.1f} s")
    return outcome.objective


def _job(bench: Bench, run: TrackedRun, params: Any, *, latency: bool, follow: Any = None) -> trial.Job:
    identity = trial.identity(TRAIN, params, bench.root, CODE, latency=latency)
    return trial.Job(
        stage=TRAIN,
        package="tasks",
        params=params,
        data=bench.root.resolve(),
        place=bench.folder / identity,
        cache=bench.cache,
        parent=run.run_id,
        follow=follow,
        latency=latency,
    )


def _trial(
    bench: Bench, study: Study, run: TrackedRun, trained_with: Any, told: _Progress, request: Request, started: float
) -> Any:
    def body() -> Any:
        if request.seconds is not None and time.monotonic() - started >= request.seconds:
            return Completed(name="Skipped", message="the time is up")
        number, values = study.ask()
        try:
            follow = study.follower(number)
            job = _job(bench, run, trained_with(values), latency=request.latency, follow=follow)
            outcome = bench.train(job)
        except Pruned as pruned:
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
        facts = {
            "seconds": outcome.seconds,
            "epochs": outcome.epochs,
            "worst_recall": outcome.worst_recall,
            "mlflow_run": outcome.mlflow_run,
        }
        study.tell(number, quality=outcome.objective, latency_ms=outcome.latency_ms, facts=facts)
        told.trial(number, values, outcome.objective, f"{outcome.seconds:6.1f} s")
        return Completed(message=f"{outcome.objective:.4f}")

    return task(name="trial", cache_policy=NO_CACHE, persist_result=False)(body)


class _Progress:
    """A line a trial, with the best so far."""

    def __init__(self, console: Console, study: Study, *, total: int, baseline: float | None) -> None:
        self._console, self._study, self._total = console, study, total
        best = study.best()
        self._best = max(
            [value for value in (baseline, best.quality if best else None) if value is not None], default=None
        )

    def trial(self, number: int, values: Mapping[str, Any], quality: float | None, what: str) -> None:
        mark = " "
        if quality is not None and (self._best is None or quality > self._best):
            self._best, mark = quality, "*"
        shown = "  ".join(f"{key.rpartition('.')[2]} {_short(value)}" for key, value in values.items())
        reached = f"{quality:.4f}" if quality is not None else "   –  "
        self._console.say(f"{mark} {number + 1:>4}/{self._total}  {reached}  {what}  {shown}")


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _tuned(study: Study, run: TrackedRun, params: Any, baseline: float | None, seconds: float) -> Tuned:
    tuned = Tuned(
        study=study.name,
        objective=describe(params.objective),
        baseline=baseline,
        rows=study.rows(),
        front=study.front(),
        importances=study.importances(),
        seconds=seconds,
    )
    if tuned.front:
        best = tuned.front[0]
        values = {"best_quality": best.quality, "baseline_quality": baseline}
        run.metrics({name: value for name, value in values.items() if value is not None}, step=len(tuned.rows))
        run.tag("hallmark.best", json.dumps(best.values, sort_keys=True))
    return tuned


def _sum_up(tuned: Tuned, console: Console, page: Path) -> None:
    keys = list(tuned.rows[0].values) if tuned.rows else []
    latency = any(row.latency_ms is not None for row in tuned.rows)
    done = sorted(
        (row for row in tuned.rows if row.quality is not None), key=lambda row: (-(row.quality or 0), row.number)
    )
    shown = tuned.front if latency else done[:5]
    headings = ["trial", tuned.objective, *(["ms"] if latency else []), *keys]
    table = []
    if tuned.baseline is not None:
        blank = ["as it is" for _ in keys]
        table.append(["params.yaml", f"{tuned.baseline:.4f}", *(["–"] if latency else []), *blank])
    for row in shown:
        values = [_short(row.values[key]) for key in keys]
        ms = [f"{row.latency_ms:.3f}"] if latency else []
        table.append([str(row.number + 1), f"{row.quality:.4f}", *ms, *values])
    states = {state: sum(row.state == state for row in tuned.rows) for state in ("complete", "pruned", "failed")}
    counts = ", ".join(f"{count} {state}" for state, count in states.items() if count)
    title = "Best of quality against latency" if latency else "Best trials"
    console.table(f"{title}, on the validation images ({counts})", headings, table)
    if tuned.importances:
        console.say("Decides  " + ", ".join(f"{key} {100 * share:.0f} %" for key, share in tuned.importances.items()))
    console.say(f"Page   {page}")


def _apply(root: Path, tuned: Tuned, best: Row | None, console: Console) -> None:
    if best is None:
        console.warn("Nothing to apply: no trial completed")
        return
    if tuned.baseline is not None and (best.quality or 0.0) <= tuned.baseline:
        console.warn("Nothing applied: no trial was better than params.yaml as it is")
        return
    configure(STAGES, root, overrides.as_overrides(best.values), package="tasks")
    console.say("Applied to params.yaml: " + " ".join(overrides.as_overrides(best.values)))
