"""How far a training is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from hallmark.learning.validation import Validated


@final
@dataclass
class TrainingState:
    """How far the training is, in plain values; epochs count from 1, 0 is never."""

    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    start: dict[str, Any] | None = None  # the row of the first weights, under a fitted head
    best_objective: float = -math.inf
    best_loss: float = math.inf
    best_epoch: int = 0
    improved: int = 0  # the epoch in which the objective rose last
    diverged: int = 0  # the epoch in which the loss stopped being a number

    def compare(self, validated: Validated) -> bool:
        """Whether the weights of the last epoch are the best yet: by the objective, by the loss where that is equal."""
        epoch = len(self.history)
        if validated.objective > self.best_objective:
            self.improved = epoch
        if (validated.objective, -validated.loss) <= (self.best_objective, -self.best_loss):
            return False
        self.best_objective, self.best_loss, self.best_epoch = validated.objective, validated.loss, epoch
        return True
