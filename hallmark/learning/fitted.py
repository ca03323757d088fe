"""The result of a training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from hallmark.learning.recipe import Resolved


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """``state`` is the chosen weights, on the CPU; ``history`` one row per epoch; epochs count from 1.

    ``resolved`` holds the values used; ``search`` the trial of the learning-rate finder, if it ran.
    """

    state: dict[str, Tensor]
    history: list[dict[str, Any]]
    best_epoch: int
    n_parameters: int
    warnings: list[str]
    resolved: Resolved
    search: list[dict[str, float]] = field(default_factory=list)
