"""Common part of tuning, ablation and cross-validation: workspace lock, up-to-date inputs, trials as Prefect tasks.

Each training runs in a worker process (:mod:`hallmark.experiments.workers`) while a Prefect task waits for it: the task
runner limits how many run at once, and its page shows them.
"""

from __future__ import annotations

import dataclasses
import json
import os
import threading
import time
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import flow, tags, task
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext
from prefect.futures import wait
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from flows import names, prefect_server
from flows.adapters import Run, raise_error, untagged
from flows.environment import recover, terminable, writes_to
from flows.training import advance, recover_flow_runs, workspace_tags
from hallmark.contracts import progress
from hallmark.contracts.errors import HallmarkError, MachineError
from hallmark.contracts.names import DEMO
from hallmark.contracts.runtime import state as private
from hallmark.experiments import preparation, trial, workers
from hallmark.pipeline.configuration import check_sources
from hallmark.pipeline.display import duration
from hallmark.pipeline.failures import as_hallmark_error
from hallmark.pipeline.lock import exclusive
from hallmark.pipeline.machine import require_space
from hallmark.tracking import address, reachability, runs
from hallmark.versioning.workspace import Workspace
from tasks import STAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from concurrent.futures import Future, ProcessPoolExecutor

    from flows.console import Console
    from hallmark.experiments.preparation import Tree
    from hallmark.experiments.trial import Job, Outcome


class Count:
    """Thread-safe counter of an experiment's trainings; reports progress: k of n, time left."""

    def __init__(self, total: int, what: str) -> None:
        self._total, self._what = total, what
        self._done, self._began, self._lock = 0, time.monotonic(), threading.Lock()
        progress.report(what, 0, total, unit=what)

    def more(self) -> str:
        """Counts one more and returns the progress text, such as "3 of 20, 4:10 left"."""
        with self._lock:
            self._done += 1
            progress.report(self._what, self._done, self._total, unit=self._what)
            left = (time.monotonic() - self._began) / self._done * (self._total - self._done)
            words = f"{self._done} of {self._total}"
            return f"{words}, {duration(left)} left" if self._done < self._total else words


TRAIN = next(stage for stage in STAGES if stage.name == "train")
CODE = tuple(Path(__file__).resolve().parents[1] / name for name in ("hallmark", "tasks"))


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What an experiment works with: root, params, its folder, worker processes, console.

    ``stage_seconds`` holds the seconds of the workspace's stages whose last run is recorded.
    """

    root: Path
    params: Mapping[str, Any]
    folder: Path
    pool: ProcessPoolExecutor
    console: Console
    stage_seconds: Mapping[str, float]
    under_way: dict[Path, Future[Outcome]] = field(default_factory=dict)
    _submitting: threading.Lock = field(default_factory=threading.Lock)

    def train(self, job: Job) -> Outcome:
        """Runs a job in a worker process; two jobs with the same folder share one training.

        Raises the training's error, or MachineError if its process died.
        """
        job = dataclasses.replace(job, params=trial.located(job.params, self.root))
        with self._submitting:
            future = self.under_way.get(job.folder)
            if future is None or future.done():
                future = self.under_way[job.folder] = self._begin(trial.run, job)
        outcome: Outcome = self.wait(future)
        return outcome

    def prepare(self, tree: Tree) -> dict[str, float | None]:
        """Brings a tree's stages up to date in a worker process; returns the seconds of each that ran."""
        seconds: dict[str, float | None] = self.wait(self._begin(preparation.prepare, tree))
        return seconds

    def wait(self, future: Future[Any]) -> Any:
        """The result of a worker's future. Raises as :meth:`train` does."""
        try:
            return future.result()
        except BrokenProcessPool as error:
            raise self._killed() from error

    def _begin(self, work: Callable[..., Any], subject: Any) -> Future[Any]:
        """Submits work to the pool, one of whose idle processes may have died already."""
        try:
            return self.pool.submit(work, subject)
        except BrokenProcessPool as error:
            raise self._killed() from error

    def _killed(self) -> MachineError:
        return MachineError(
            "a training process was killed, perhaps by a lack of memory",
            remedy=f"run again with fewer --jobs; {self.folder / 'workers.log'} holds its output",
        )

    @property
    def cache(self) -> Path:
        """The workspace's cache folder."""
        return (private(self.root) / "cache").resolve()


def conduct(
    name: str, root: Path, params: Mapping[str, Any], console: Console, *, jobs: int, work: Callable[[Bench], Any]
) -> Any:
    """Runs ``work`` as the flow ``name`` with the inputs of train up to date, and returns its result.

    Holds the workspace's lock meanwhile. Raises the error of a stage or of the work.
    """
    prefect_server.check()
    reachability.check()
    require_space(*writes_to(root))
    with exclusive(root, f"hallmark {name}"), console.live():
        recover(root, console)
        check_sources(STAGES, params, root, created=(DEMO,))
        runs.recover(params["train"].tracking)
        folder = (private(root) / "experiments" / name).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        result: list[Any] = []

        runner: Any = ThreadPoolTaskRunner(max_workers=jobs)

        called = names.run_name(name, params, root)

        @flow(name=name, flow_run_name=lambda: called, persist_result=False, task_runner=runner)
        @terminable()
        def experiment() -> Any:
            own = FlowRunContext.get()
            assert own is not None, "a flow's function runs inside a flow run"
            assert own.flow_run is not None
            recover_flow_runs(root, keep=str(own.flow_run.id))
            ran = _ran(root)
            failed = _inputs(root, params, console)
            if failed is not None:
                return failed
            console.display.begin(name, "trainings, each in its own process")
            try:
                bench = Bench(
                    root=root,
                    params=params,
                    folder=folder,
                    pool=pool,
                    console=console,
                    stage_seconds=ran | _ran(root),
                )
                result.append(work(bench))
            except HallmarkError as error:
                return Failed(message=str(error), data=error)
            except Exception as error:
                workers.kill(pool)  # the threads that wait for a training end with it
                return Failed(message=str(as_hallmark_error(error, name)), data=error)
            except BaseException:
                # the threads that wait for a training end with it
                workers.kill(pool)
                raise
            return Completed(message=f"{name} done")

        console.say("Starting the flow (on a local Prefect server unless PREFECT_API_URL is set) ...")
        with trainers(jobs, folder) as pool:
            for _ in range(jobs):
                pool.submit(trial.warm_up)  # beside Prefect's start
            with tags(*workspace_tags(root)):
                state: Any = experiment(return_state=True)
        if state.is_completed():
            return result[0]
        raise_error(state)


def all_done(futures: Sequence[Any]) -> None:
    """Waits for Prefect futures, then raises the error of the first that failed, if any."""
    wait(list(futures))
    for future in futures:
        if not future.state.is_completed():
            raise_error(future.state)


def unit_of_work(name: str, body: Callable[[], Any]) -> Any:
    """Submits a Prefect task that runs ``body``; its future."""
    work: Any = task(name=name, task_run_name=name, cache_policy=NO_CACHE, persist_result=False)(body)
    with untagged():
        return work.submit()


def _ran(root: Path) -> dict[str, float]:
    """Seconds of the stages that ran in the last run; a cached stage takes almost none and is left out."""
    path = root / "reports" / "run.json"
    report = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {name: facts["seconds"] for name, facts in report.items() if facts["state"] == "ran"}


def _inputs(root: Path, params: Mapping[str, Any], console: Console) -> Any:
    """Brings the stages before train up to date; returns the state of one that failed."""

    def announce(stage: str, what: str, seconds: float) -> None:
        if what == "cached":
            console.display.end()
        else:
            console.announce(stage, what, seconds)

    run = Run(root=root, workspace=Workspace(root), params=params, announce=announce)
    return advance(run, until=TRAIN.name)


@contextmanager
def trainers(jobs: int, folder: Path) -> Iterator[ProcessPoolExecutor]:
    """Worker processes that use this process's MLflow stores, whatever their working directory."""
    environment = {"MLFLOW_TRACKING_URI": address.tracking_uri()}
    if os.environ.get("MLFLOW_REGISTRY_URI"):
        environment["MLFLOW_REGISTRY_URI"] = address.registry_uri()
    with workers.pool(jobs, log=folder / "workers.log", environment=environment) as pool:
        yield pool
