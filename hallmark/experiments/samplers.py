"""How a study draws the values of a trial."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import optuna

if TYPE_CHECKING:
    from hallmark.experiments.space import Dimension

SAMPLERS = ("tpe", "gp", "random", "grid")
STARTUP = 5  # trials before the sampler models, and before the median prunes


def suggest(trial: optuna.Trial, dimension: Dimension) -> Any:
    """A value of the dimension, as the study's sampler draws it."""
    if dimension.choices:
        return trial.suggest_categorical(dimension.key, dimension.choices)
    if dimension.whole:
        step = int(dimension.step or 1)
        return trial.suggest_int(dimension.key, int(dimension.low), int(dimension.high), step=step, log=dimension.log)
    # the number that params.yaml, Optuna's database and the report all show
    return trial.suggest_float(
        dimension.key, float(dimension.low), float(dimension.high), step=dimension.step, log=dimension.log
    )


def distribution(dimension: Dimension) -> optuna.distributions.BaseDistribution:
    """What :func:`suggest` draws from."""
    if dimension.choices:
        return optuna.distributions.CategoricalDistribution(dimension.choices)
    if dimension.whole:
        step = int(dimension.step or 1)
        return optuna.distributions.IntDistribution(int(dimension.low), int(dimension.high), dimension.log, step)
    low, high = float(dimension.low), float(dimension.high)
    return optuna.distributions.FloatDistribution(low, high, dimension.log, dimension.step)


def sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    """Optuna's sampler of that name; for grid the study enqueues the points itself."""
    if name == "tpe":
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP)
    if name == "gp":
        return optuna.samplers.GPSampler(seed=seed, n_startup_trials=STARTUP)
    return optuna.samplers.RandomSampler(seed=seed)
