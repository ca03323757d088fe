"""The end of an epoch: validation, a row of the history, images for the log, and warnings."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any, Protocol, final

import numpy as np
import torch

from hallmark.contracts import progress
from hallmark.learning import monitoring
from hallmark.learning.image_grid import make_grid
from hallmark.learning.validation import on_device

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from hallmark.learning.linear_head import LinearHead
    from hallmark.learning.plan import TrainingPlan
    from hallmark.learning.train_step import TrainStep
    from hallmark.learning.training_state import TrainingState
    from hallmark.learning.validation import Validated, Validation

_log = logging.getLogger(__name__)

PROBED = 64  # images that tell which units are stuck
PICTURED = 50  # epochs whose worst mistakes are kept as a picture, at most
WORST = 32  # images of such a picture


class Log(Protocol):
    """Where a training logs its metrics and images while it runs."""

    def metrics(self, values: Mapping[str, float], step: int) -> None: ...

    def image(self, name: str, pixels: NDArray[np.uint8], step: int) -> None: ...


@final
class Silent:
    """A log that keeps nothing, for trainings whose result alone counts."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Drops the values."""

    def image(self, name: str, pixels: NDArray[np.uint8], step: int) -> None:
        """Drops the image."""


def report_progress(state: TrainingState, plan: TrainingPlan) -> None:
    """Reports the progress, with the figures of the last whole epoch."""
    epochs, each = plan.resolved.epochs, plan.batches.images_per_epoch / plan.steps_per_epoch
    figures: dict[str, str | float] = {"epoch": f"{min(state.step // plan.steps_per_epoch + 1, epochs)} of {epochs}"}
    if state.history:
        row = state.history[-1]
        figures["loss"] = row["train_loss"]
        if row["objective"] is not None:
            figures["objective"] = row["objective"]
    done, total = round(state.step * each), round(plan.steps * each)
    progress.report("training", done, total, figures=figures, at_most=bool(plan.recipe.patience))


@final
class EpochRecorder:
    """Closes each epoch: judges the weights that would be kept, adds a row to the history, logs and warns."""

    def __init__(self, plan: TrainingPlan, *, validation: Validation | None, log: Log) -> None:
        self._plan, self._validation, self._log = plan, validation, log
        self._every = -(-plan.resolved.epochs // PICTURED)
        self._warned: set[monitoring.Warned] = set()

    def close(
        self, train_step: TrainStep, sums: Sequence[float], state: TrainingState, *, lr: float
    ) -> Validated | None:
        """``sums`` are those of this epoch, ``lr`` its last learning rate; None without validation images."""
        loss, right, images, norms, steps = sums
        epoch = len(state.history) + 1
        balance = monitoring.gradient_balance(train_step.matrices)
        inactive, validated = self._judged(train_step)
        row: dict[str, Any] = {
            "epoch": epoch,
            "train_loss": loss / images,
            "train_accuracy": right / images,
            "val_loss": validated.loss if validated else None,
            "val_accuracy": validated.accuracy if validated else None,
            "objective": validated.objective if validated else None,
            "lr": lr,
            "gradient_norm": norms / steps,
            "gradient_balance": balance,
            "inactive_units": inactive,
        }
        state.history.append(row)
        finite = {name: value for name, value in row.items() if isinstance(value, float) and math.isfinite(value)}
        self._log.metrics({f"epoch/{name}": value for name, value in finite.items()}, epoch)
        if validated is not None and self._validation is not None and epoch % self._every == 0:
            worst = validated.mistakes(self._validation.labels)[:WORST]
            if len(worst):
                self._log.image("mistakes", make_grid(self._validation.images[worst]), epoch)
        self._warn(state)
        return validated

    def start(self, head: LinearHead, train_step: TrainStep) -> dict[str, Any]:
        """The row of epoch 0, before any step: the network under its fitted head."""
        validated = None
        if self._validation is not None:
            validated = self._validation.judge(
                train_step.network, train_step.device, train_step.fabric, train_step.replicas
            )
        row: dict[str, Any] = {
            "epoch": 0,
            "train_loss": head.loss,
            "train_accuracy": head.accuracy,
            "val_loss": validated.loss if validated else None,
            "val_accuracy": validated.accuracy if validated else None,
            "objective": validated.objective if validated else None,
            "lr": 0.0,
            "gradient_norm": None,
            "gradient_balance": None,
            "inactive_units": None,
        }
        self._log.metrics({f"epoch/{name}": value for name, value in row.items() if isinstance(value, float)}, 0)
        return row

    def _warn(self, state: TrainingState) -> None:
        """Logs each kind of warning once."""
        plan = self._plan
        warnings = monitoring.warnings(state.history, guessing=plan.loss.guessing, lr=plan.resolved.lr)
        for kind, warning in warnings.items():
            if kind not in self._warned:
                self._warned.add(kind)
                _log.warning("epoch %d: %s", len(state.history), warning)

    def _judged(self, train_step: TrainStep) -> tuple[float | None, Validated | None]:
        """The share of inactive units, and the validation, of the weights that would be kept."""
        pixels = self._validation.images if self._validation is not None else self._plan.batches.pixels
        chosen = np.linspace(0, len(pixels) - 1, min(PROBED, len(pixels))).astype(np.int64)  # classes lie together
        probe = on_device(torch.from_numpy(np.array(pixels[chosen])), train_step.device)
        with train_step.averaged() as network:
            with train_step.fabric.autocast():
                inactive = monitoring.inactive_units(network, probe)
            if self._validation is None:
                return inactive, None
            return inactive, self._validation.judge(network, train_step.device, train_step.fabric, train_step.replicas)
