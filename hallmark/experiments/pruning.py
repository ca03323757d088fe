"""Stops unpromising trainings of a study early."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import optuna

from hallmark.experiments.samplers import STARTUP
from hallmark.experiments.study_storage import opened

PRUNERS = ("none", "median", "hyperband")
UNJUDGED = 1 / 3  # share of a training's epochs after which it may be pruned


class Pruned(BaseException):
    """Stops an unpromising training; not an error, hence not an Exception."""


@dataclass(kw_only=True)
class Follower:
    """Reports a trial's epochs to the study, from another process; raises :class:`Pruned` to stop it.

    Never prunes in the first third of the epochs, where the rising learning rate affects the objective more than the
    trial's values do, nor in the last epoch, where nothing is left to save.
    """

    storage: str
    name: str
    number: int
    pruner: str
    _trial: Any = None

    def __call__(self, epoch: int, epochs: int, objective: float) -> None:
        if self._trial is None:
            optuna.logging.set_verbosity(optuna.logging.ERROR)
            study = opened(self.storage, self.name, ["maximize"])
            study.sampler, study.pruner = optuna.samplers.RandomSampler(), _pruner(self.pruner)
            trial_id = study._storage.get_trial_id_from_study_id_trial_number(study._study_id, self.number)
            self._trial = optuna.trial.Trial(study, trial_id)
        self._trial.report(objective, epoch)
        if epochs * UNJUDGED < epoch < epochs and self._trial.should_prune():
            raise Pruned(f"epoch {epoch}: objective {objective:.4f}")


def _pruner(name: str) -> optuna.pruners.BasePruner:
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=STARTUP)
    return optuna.pruners.HyperbandPruner(min_resource=2, max_resource="auto", reduction_factor=3)
