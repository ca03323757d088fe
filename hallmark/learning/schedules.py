"""Learning-rate schedules: the factor of the peak is a function of the step, so that resuming needs no state.

>>> [round(factor("cosine", step, total=4, warmup=0.25), 3) for step in range(4)]
[1.0, 1.0, 0.75, 0.25]
"""

from __future__ import annotations

import math
from dataclasses import dataclass

FIRST = 1 / 12  # share of the steps in the short cycle of warm_restart


def factor(schedule: str, step: int, *, total: int, warmup: float) -> float:
    """The learning rate of ``step`` (from 0) of ``total``, divided by its peak; ``warmup`` is a share of the steps.

    ``step`` divides by ten after a half and after three quarters of the steps. ``one_cycle`` (Smith & Topin 2018)
    rises from 1/25 during ``warmup`` of the steps (0.3 if that is 0) and falls to nearly 0. ``warm_restart`` is a short
    cycle before a long one (Loshchilov & Hutter 2017); the short one rises twice as fast and falls linearly, so that
    few of its steps have a low rate. ``plateau`` is constant here, see :class:`Plateau`.
    """
    if schedule == "warm_restart":
        first = round(total * FIRST)
        if step < first:
            rise = max(1, round(first * (warmup or 0.3) / 2))
            return (step + 1) / rise if step < rise else (first - step) / (first - rise + 1)
        step, total, schedule = step - first, total - first, "one_cycle"
    if schedule == "one_cycle":
        rise = max(1, round(total * (warmup or 0.3)))
        if step < rise:
            return _cosine(1 / 25, 1.0, (step + 1) / rise)
        return _cosine(1.0, 1e-4, (step + 1 - rise) / max(1, total - rise))
    rise = round(total * warmup)
    if step < rise:
        return (step + 1) / rise
    share = (step - rise) / max(1, total - rise)
    match schedule:
        case "cosine":
            return _cosine(1.0, 0.0, share)
        case "step":
            return 1.0 if share < 0.5 else (0.1 if share < 0.75 else 0.01)
        case "constant" | "plateau":
            return 1.0
    raise AssertionError(f"unknown schedule {schedule!r}")


def momentum(schedule: str, step: int, *, total: int, warmup: float, base: float) -> float:
    """The momentum of a step: in a cycle it falls to ``base`` - 0.1 while the learning rate is high.

    It does not fall below ``base`` / 2, since RMSprop creates no momentum buffer if it starts at 0.
    """
    if schedule not in ("one_cycle", "warm_restart"):
        return base
    low = max(base / 2, base - 0.1)
    return base - (base - low) * factor(schedule, step, total=total, warmup=warmup)


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


@dataclass
class Plateau:
    """Divides the learning rate by three whenever the objective has not risen for ``wait`` epochs."""

    wait: int
    factor: float = 1.0
    best: float = -math.inf
    stale: int = 0

    def update(self, value: float) -> None:
        """Updates the factor with the objective of an epoch; higher is better."""
        if value > self.best:
            self.best, self.stale = value, 0
            return
        self.stale += 1
        if self.stale >= self.wait:
            self.factor, self.stale = self.factor / 3, 0
