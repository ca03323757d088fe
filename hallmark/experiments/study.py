"""A study: Optuna's trials in a database, so that a killed study can resume.

Each trial records the process that runs it. If that process is dead, the trial ends as failed, does not count, and its
values are repeated. Nothing here trains: :meth:`Study.ask` returns values, :meth:`Study.tell` takes the result.
"""

from __future__ import annotations

import json
import random
import threading
import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import TrialState

from hallmark.contracts import require
from hallmark.contracts.errors import InputError
from hallmark.contracts.seeds import derive
from hallmark.experiments import pruning, samplers
from hallmark.experiments.pruning import Follower
from hallmark.experiments.study_storage import opened
from hallmark.tracking import process

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hallmark.experiments.space import Space

KILLED, PROCESS, FACTS, WHY, SPACE, REPEATED = "killed", "process", "facts", "why", "space", "repeated"
REDRAWS = 20  # of points already tried, before a new point is drawn at random
GRACE = 5.0  # seconds within which a new trial records its process


class Exhausted(Exception):
    """Every point of the space was tried."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A finished trial: ``state`` is complete, pruned, failed or killed; ``quality`` is higher for better."""

    number: int
    state: str
    values: dict[str, Any]
    quality: float | None
    latency_ms: float | None
    facts: dict[str, Any]
    why: str


def ranked(rows: Iterable[Row]) -> list[Row]:
    """The completed trials, best quality first, ties by number."""
    done = [(-row.quality, row.number, row) for row in rows if row.quality is not None]
    return [row for _, _, row in sorted(done, key=lambda each: each[:2])]


class Study:
    """The study ``name`` in the database at ``storage`` (an SQLAlchemy URL), created if missing.

    Raises InputError for conflicting settings or an existing study with other objectives or another space, MachineError
    if the database cannot be reached.
    """

    def __init__(
        self, storage: str, name: str, space: Space, *, sampler: str, pruner: str, latency: bool, seed: int
    ) -> None:
        check(sampler=sampler, pruner=pruner, latency=latency)
        self.space, self.latency, self._asking = space, latency, threading.Lock()
        self.storage = storage
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        directions = ["maximize", "minimize"] if latency else ["maximize"]
        self._study = opened(storage, name, directions)
        if [each.name.lower() for each in self._study.directions] != directions:
            raise InputError(f"the study '{name}' has other objectives", remedy="give another --study")
        facts = json.dumps(space.facts(), sort_keys=True)
        if self._study.user_attrs.get(SPACE, facts) != facts:
            raise InputError(f"the study '{name}' searched another space", remedy="give another --study")
        self._study.set_user_attr(SPACE, facts)
        self._study.sampler = samplers.sampler(sampler, derive(seed, "tune", len(self._study.trials)) % 2**32)
        self.name, self.pruner = name, pruner
        if sampler == "grid":
            for values in space.grid():
                self._study.enqueue_trial(values, skip_if_exists=True)

    def recover(self) -> int:
        """Ends the trials of dead processes, enqueues their values again and returns their number.

        Waits up to :data:`GRACE` for trials without a recorded process: they have just started, or were killed then.
        """
        deadline = time.monotonic() + GRACE
        while any(PROCESS not in trial.user_attrs for trial in self._running()) and time.monotonic() < deadline:
            time.sleep(0.1)
        dead = [trial for trial in self._running() if not _is_owned(trial)]
        for trial in dead:
            # still RUNNING without an owner: ended through the storage
            self._study._storage.set_trial_user_attr(trial._trial_id, KILLED, True)
            self._study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
            # a grid trial has its values even if it was killed before drawing them
            values = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
            if len(values) == len(self.space.dimensions):
                self._study.enqueue_trial(values)
        return len(dead)

    def ask(self) -> tuple[int, dict[str, Any]]:
        """The number of a new trial, now running, and its values by key: a point that was not tried before.

        Raises Exhausted if none is left, in a space of choices, whole numbers and steps alone.
        """
        with self._asking:
            redraws = 0
            while True:
                trial = self._study.ask()
                trial.set_user_attr(PROCESS, process.me())
                values = {each.key: samplers.suggest(trial, each) for each in self.space.dimensions}
                tried = self._tried(trial.number)
                if _point(values) not in tried:
                    return trial.number, values
                # a trial cannot be withdrawn: this one ends as a repeat, which does not count
                self._study._storage.set_trial_user_attr(trial._trial_id, REPEATED, True)
                self._study.tell(trial, state=TrialState.FAIL)
                redraws += 1
                every = self.space.every()
                left = [point for point in every or () if _point(point) not in tried]
                if every is not None and not left:
                    raise Exhausted(f"all {len(every)} points of the space were tried")
                if redraws >= REDRAWS:
                    draw = random.Random(trial.number)  # noqa: S311
                    self._study.enqueue_trial(draw.choice(left) if left else self.space.draw(draw))

    def _tried(self, but: int) -> set[str]:
        """The points of all trials but number ``but``, running ones included; killed ones are repeated, so left out."""
        trials = self._study.get_trials(deepcopy=False)
        return {
            _point(trial.params)
            for trial in trials
            if trial.number != but
            and len(trial.params) == len(self.space.dimensions)
            and not trial.user_attrs.keys() & {KILLED, REPEATED}
        }

    def start_from(self, values: Mapping[str, Any], *, quality: float, latency_ms: float | None, why: str) -> bool:
        """Adds a finished trial from outside; False if its values are not in the space."""
        if set(values) != {each.key for each in self.space.dimensions}:
            return False
        distributions = {each.key: samplers.distribution(each) for each in self.space.dimensions}
        try:
            ended = optuna.trial.create_trial(
                params=dict(values),
                distributions=distributions,
                values=[quality, latency_ms] if self.latency else [quality],  # type: ignore[list-item]
                user_attrs={WHY: why},
            )
        except ValueError:  # Optuna's error for a value outside its distribution
            return False
        self._study.add_trial(ended)
        return True

    def tell(self, number: int, *, quality: float, latency_ms: float | None, facts: Mapping[str, Any]) -> None:
        """Ends a trial with its result."""
        values = [quality, latency_ms] if self.latency else [quality]
        self._end(number, {FACTS: dict(facts)}, values=values)

    def tell_pruned(self, number: int) -> None:
        """Ends a pruned trial."""
        self._end(number, {}, state=TrialState.PRUNED)

    def tell_failed(self, number: int, why: str, *, killed: bool = False) -> None:
        """Ends a trial whose values cannot be trained with; one that was ``killed`` does not count."""
        self._end(number, {WHY: why, **({KILLED: True} if killed else {})}, state=TrialState.FAIL)

    def _end(self, number: int, attributes: Mapping[str, Any], **result: Any) -> None:
        with self._asking:
            trial_id = self._study._storage.get_trial_id_from_study_id_trial_number(self._study._study_id, number)
            for key, value in attributes.items():
                self._study._storage.set_trial_user_attr(trial_id, key, value)
            self._study.tell(number, **result)

    def rows(self) -> list[Row]:
        """All trials that ended, in order."""
        names = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
        rows = []
        for trial in self._study.get_trials(states=tuple(names)):
            if trial.user_attrs.get(REPEATED):
                continue
            values = trial.values if trial.state == TrialState.COMPLETE else None
            rows.append(
                Row(
                    number=trial.number,
                    state="killed" if trial.user_attrs.get(KILLED) else names[trial.state],
                    values=dict(trial.params),
                    quality=values[0] if values else None,
                    latency_ms=values[1] if values and self.latency else None,
                    facts=trial.user_attrs.get(FACTS, {}),
                    why=trial.user_attrs.get(WHY, ""),
                )
            )
        return rows

    def counted(self) -> int:
        """Number of finished trials, killed ones excluded."""
        return sum(row.state != "killed" for row in self.rows())

    def running(self) -> int:
        """Number of running trials, in any process."""
        return len(self._running())

    def _running(self) -> list[optuna.trial.FrozenTrial]:
        return self._study.get_trials(states=(TrialState.RUNNING,))

    def best(self) -> Row | None:
        """The trial of the best quality, the first of equals; None if none completed."""
        return next(iter(ranked(self.rows())), None)

    def front(self) -> list[Row]:
        """The Pareto front of quality and latency, best quality first; without latency the best trial."""
        if not self.latency:
            best = self.best()
            return [best] if best is not None else []
        chosen = {trial.number for trial in self._study.best_trials}
        return ranked(row for row in self.rows() if row.number in chosen)

    def importances(self) -> dict[str, float]:
        """How much each value matters for being among the best trials, adding up to 1; empty with fewer than 4 trials.

        After PED-ANOVA (Watanabe et al. 2023).
        """
        done = [row for row in self.rows() if row.quality is not None]
        if len(done) < 4 or len({row.quality for row in done}) < 2:
            return {}
        if self.latency:
            # with two objectives the evaluator needs one target, and minimises it
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="PedAnovaImportanceEvaluator computes the importances")
                importances = optuna.importance.get_param_importances(
                    self._study, target=lambda trial: -trial.values[0]
                )
        else:
            importances = optuna.importance.get_param_importances(self._study)
        return {name: float(value) for name, value in importances.items()}

    def note(self, key: str, value: Any) -> None:
        """Stores a plain value with the study."""
        self._study.set_user_attr(key, value)

    def noted(self, key: str) -> Any:
        """The value that :meth:`note` stored, else None."""
        return self._study.user_attrs.get(key)

    def follower(self, number: int) -> Follower | None:
        """The pruning callback of a trial's training; None without a pruner."""
        if self.pruner == "none":
            return None
        return Follower(storage=self.storage, name=self.name, number=number, pruner=self.pruner)


def check(*, sampler: str, pruner: str, latency: bool) -> None:
    """Raises InputError for unknown or conflicting settings of a study."""
    require.one_of(samplers.SAMPLERS, **{"--sampler": sampler})
    require.one_of(pruning.PRUNERS, **{"--pruner": pruner})
    if latency and pruner != "none":
        raise InputError(
            f"--pruner {pruner} and --latency exclude each other: a training that is stopped early has no latency",
            remedy="drop one of them",
        )


def _point(values: Mapping[str, Any]) -> str:
    """A point as text, independent of the order of its values."""
    return json.dumps(values, sort_keys=True)


def _is_owned(trial: optuna.trial.FrozenTrial) -> bool:
    """Whether a running trial's process is alive, as far as this machine can check."""
    owner = trial.user_attrs.get(PROCESS)
    return owner is not None and process.alive(owner)
