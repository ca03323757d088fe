"""The noise multiplier that a privacy budget needs.

>>> def steps(noise_multiplier):
...     return [Gaussian(noise_multiplier=noise_multiplier, sampling_rate=4096 / 60000, count=366)]
>>> sigma = noise_multiplier(steps, target=Target(epsilon=3.0, delta=1e-5))
>>> round(sigma, 2)
2.02
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hallmark.contracts.errors import Fault, InputError
from hallmark.privacy import accounting
from hallmark.privacy.privacy_loss import Gaussian, Mechanism

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["MOST_NOISE", "Gaussian", "Target", "noise_multiplier"]

LEAST_NOISE, MOST_NOISE = 0.3, 1000.0  # of the noise multiplier; below, a single unit shows
_PRECISION = 1e-4  # of the noise multiplier, relative


@dataclass(frozen=True, kw_only=True)
class Target:
    """A budget, and what else is charged to it."""

    epsilon: float
    delta: float
    charges: tuple[Mechanism, ...] = ()

    def spent(self, mechanisms: Sequence[Mechanism]) -> float:
        """Epsilon of these mechanisms and the charges together."""
        return accounting.epsilon([*mechanisms, *self.charges], delta=self.delta)


def noise_multiplier(mechanisms: Callable[[float], Sequence[Mechanism]], *, target: Target) -> float:
    """The least noise multiplier, to 0.01 %, with which the mechanisms keep to the budget; never below 0.3.

    ``mechanisms`` gives what is released at a noise multiplier. Raises InputError, which states the least epsilon
    possible, if the budget is too small even at :data:`MOST_NOISE`.
    """
    low, high = _bracket(mechanisms, target)
    over = math.log(target.spent(mechanisms(low)) / target.epsilon)
    if over <= 0:
        return low
    under = math.log(max(target.spent(mechanisms(high)), 1e-12) / target.epsilon)
    while high / low > 1 + _PRECISION:
        # where the line between the ends' logarithms meets the budget, kept inside the inner 9/10
        position = min(max(over / (over - under), 0.05), 0.95)
        middle = low * (high / low) ** (position + (0.02 if position < 0.5 else -0.02))
        middle = min(max(middle, low * (1 + _PRECISION / 3)), high / (1 + _PRECISION / 3))
        value = math.log(max(target.spent(mechanisms(middle)), 1e-12) / target.epsilon)
        if value > 0:
            low, over = middle, value
        else:
            high, under = middle, value
    return high


def _bracket(mechanisms: Callable[[float], Sequence[Mechanism]], target: Target) -> tuple[float, float]:
    """A noise multiplier that is too small, or the least one, and one that is enough."""
    low = high = LEAST_NOISE
    while target.spent(mechanisms(high)) > target.epsilon:
        if high >= MOST_NOISE:
            least = target.spent(mechanisms(MOST_NOISE))
            charged = f", of which other queries take {target.spent([]):.4g}" if target.charges else ""
            message = f"epsilon is {target.epsilon:g}, but the least possible is {least:.4g}{charged}"
            raise InputError.of([Fault(message, "raise it, or take fewer steps or other queries", "epsilon")])
        low, high = high, min(2 * high, MOST_NOISE)
    return low, high
