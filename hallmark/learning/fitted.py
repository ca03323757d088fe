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

    ``start`` is the row, of epoch 0, of a network under a fitted head; ``best_epoch`` 0: fine-tuning did not beat it.
    ``refitted_on``: the real images that a second training fitted ``state`` to, None without one.
    ``resolved`` holds the values used; ``search`` the trial of the learning-rate finder, if it ran.
    """

    state: dict[str, Tensor]
    history: list[dict[str, Any]]
    best_epoch: int
    n_parameters: int
    warnings: list[str]
    resolved: Resolved
    start: dict[str, Any] | None = None
    refitted_on: int | None = None
    search: list[dict[str, float]] = field(default_factory=list)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The history, after the row of epoch 0 where there is one."""
        return self.history if self.start is None else [self.start, *self.history]

    @property
    def best(self) -> dict[str, Any]:
        """The row of the best epoch."""
        return next(row for row in self.rows if row["epoch"] == self.best_epoch)
