"""What every process of a training needs, in one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hallmark.learning.batches import Batches
    from hallmark.learning.devices import Machine
    from hallmark.learning.linear_head import LinearHead
    from hallmark.learning.losses import Loss
    from hallmark.learning.recipe import Recipe, Resolved


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """How a network is trained, on which batches and on which machine: without the network itself."""

    batches: Batches
    recipe: Recipe
    resolved: Resolved
    loss: Loss
    classes: int
    seed: int
    machine: Machine
    head: LinearHead | None = None  # what the training starts with, under a fitted head

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps, each over ``recipe.accumulate`` batches."""
        return -(-self.batches.per_epoch // self.recipe.accumulate)

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole training."""
        return self.steps_per_epoch * self.resolved.epochs
