"""How far a training is, and the account of each of its epochs: figures, pictures, and words where it goes wrong."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch

from hallmark.learning import monitoring
from hallmark.learning.image_grid import make_grid
from hallmark.learning.validation import on_device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hallmark.learning.batches import Batches
    from hallmark.learning.loop import Log
    from hallmark.learning.losses import Loss
    from hallmark.learning.train_step import TrainStep
    from hallmark.learning.validation import Validated, Validation

_log = logging.getLogger(__name__)

PROBED = 64  # images that tell which units are stuck
PICTURED = 50  # epochs whose worst mistakes are kept as a picture, at most
WORST = 32  # images of such a picture


@final
@dataclass
class TrainingState:
    """How far the training is, in plain values; epochs count from 1, 0 is never."""

    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best_objective: float = -math.inf
    best_loss: float = math.inf
    best_epoch: int = 0
    risen: int = 0  # the epoch in which the objective rose last
    diverged: int = 0  # the epoch in which the loss stopped being a number

    def compare(self, judged: Validated) -> bool:
        """Whether the weights of the last epoch are the best yet: by the objective, by the loss where that is equal."""
        epoch = len(self.history)
        if judged.objective > self.best_objective:
            self.risen = epoch
        if (judged.objective, -judged.loss) <= (self.best_objective, -self.best_loss):
            return False
        self.best_objective, self.best_loss, self.best_epoch = judged.objective, judged.loss, epoch
        return True


@final
class EpochRecorder:
    """Closes each epoch: judges the weights that would be kept, adds a row to the history, logs and warns."""

    def __init__(
        self, *, batches: Batches, validation: Validation | None, loss: Loss, lr: float, epochs: int, log: Log
    ) -> None:
        self._batches, self._validation = batches, validation
        self._loss, self._lr, self._log = loss, lr, log
        self._every = -(-epochs // PICTURED)
        self._told: set[str] = set()

    def close(
        self, train_step: TrainStep, sums: Sequence[float], place: TrainingState, *, rate: float
    ) -> Validated | None:
        """``sums`` are those of this epoch, ``rate`` its last learning rate; None without validation images."""
        loss, right, images, norms, steps = sums
        epoch = len(place.history) + 1
        balance = monitoring.gradient_balance(train_step.matrices)
        stuck, judged = self._looked_at(train_step)
        row: dict[str, Any] = {
            "epoch": epoch,
            "train_loss": loss / images,
            "train_accuracy": right / images,
            "val_loss": judged.loss if judged else None,
            "val_accuracy": judged.accuracy if judged else None,
            "objective": judged.objective if judged else None,
            "lr": rate,
            "gradient_norm": norms / steps,
            "gradient_balance": balance,
            "inactive_units": stuck,
        }
        place.history.append(row)
        shown = {name: value for name, value in row.items() if isinstance(value, float) and math.isfinite(value)}
        self._log.metrics({f"epoch/{name}": value for name, value in shown.items()}, epoch)
        if judged is not None and self._validation is not None and epoch % self._every == 0:
            worst = judged.mistakes(self._validation.labels)[:WORST]
            if len(worst):
                self._log.image("mistakes", make_grid(self._validation.images[worst]), epoch)
        for warning in monitoring.warnings(place.history, guessing=self._loss.guessing, lr=self._lr):
            kind = warning.split(":")[0]
            if kind not in self._told:
                self._told.add(kind)
                _log.warning("epoch %d: %s", epoch, warning)
        return judged

    def _looked_at(self, train_step: TrainStep) -> tuple[float | None, Validated | None]:
        """The share of stuck units, and the standing on the validation images, of the weights that would be kept."""
        pixels = self._validation.images if self._validation is not None else self._batches.pixels
        chosen = np.linspace(0, len(pixels) - 1, min(PROBED, len(pixels))).astype(np.int64)  # classes lie together
        probe = on_device(torch.from_numpy(np.array(pixels[chosen])), train_step.where)
        with train_step.averaged() as network:
            with train_step.fabric.autocast():
                stuck = monitoring.inactive_units(network, probe)
            if self._validation is None:
                return stuck, None
            return stuck, self._validation.judge(network, train_step.where, train_step.fabric, train_step.replicas)
