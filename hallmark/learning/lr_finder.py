"""The learning-rate finder (Smith 2017): a trial run whose learning rate grows until the loss rises.

The result follows from the data and the seed, as the training itself does.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

from hallmark.contracts import progress
from hallmark.contracts.errors import InputError
from hallmark.learning import batches as loading
from hallmark.learning import devices
from hallmark.learning.train_step import TrainStep

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

    from hallmark.learning.plan import TrainingPlan

LOWEST, HIGHEST = 1e-6, 1.0  # learning rates tried
STEPS = 100
SMOOTHING = 0.9
WORSE = 4.0  # the trial ends where the loss is this many times its least
BACK = 10.0  # the rate of the least loss is already too high by about this much (Smith 2017)


def search(network: nn.Module, plan: TrainingPlan) -> tuple[float, list[dict[str, float]]]:
    """The learning rate to train with, and the trial: rows of ``lr`` and smoothed ``loss``.

    A copy of the network trains for up to :data:`STEPS` steps while the rate grows (Smith 2017); the network itself
    is unchanged. Raises InputError if no rate lowers the loss.
    """
    curve: list[dict[str, float]] = []
    with devices.settled(plan.machine, deterministic=plan.recipe.deterministic):
        train_step = TrainStep(copy.deepcopy(network), plan)
        train_step.network.train()
        epochs = -(-STEPS // plan.batches.per_epoch)
        stream = loading.stream(plan.batches, start=(0, 0), epochs=epochs, processes=0, waiting=loading.Waiting())
        smoothed, least = 0.0, math.inf
        for step in progress.counted(range(STEPS), "searching the learning rate", STEPS, unit="steps"):
            lr = LOWEST * (HIGHEST / LOWEST) ** (step / (STEPS - 1))
            value = float(train_step.run([next(stream)], step=step, lr=lr, momentum=plan.recipe.momentum)[0])
            if not math.isfinite(value):
                break
            smoothed = SMOOTHING * smoothed + (1 - SMOOTHING) * value
            corrected = smoothed / (1 - SMOOTHING ** (step + 1))
            curve.append({"lr": lr, "loss": corrected})
            least = min(least, corrected)
            if corrected > WORSE * least:
                break
    best = min(curve, key=lambda row: row["loss"], default=None)
    if best is None or best["loss"] > 0.99 * curve[0]["loss"]:
        raise InputError(
            f"find fails, because no rate from {LOWEST:g} to {HIGHEST:g} lowers the loss",
            remedy="set {lr} to auto, and check that the labels match the images",
            field="lr",
            siblings=["lr"],
        )
    return float(f"{best['lr'] / BACK:.2g}"), curve


def is_inconclusive(curve: Sequence[Mapping[str, float]]) -> bool:
    """Whether the loss still fell at the end of the trial, as with few images learnt by heart: it gives no rate."""
    least = min(range(len(curve)), key=lambda step: curve[step]["loss"])
    return least >= STEPS - STEPS // 10
