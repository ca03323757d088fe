"""The plan of a private training: one immutable value from which sampling, clipping, noise and accounting are built.

What runs is what is accounted, because neither has settings of its own. The plan follows from public values alone: the
section of params.yaml, the number of units and the charges. Its digest identifies a checkpoint's plan.

>>> plan = made(mechanism="dp_sgd", epsilon=3.0, delta=1e-5, unit="image", group_cap=1, units=60000, batch_size=4096,
...             steps=366, clip=0.1)
>>> round(plan.noise_multiplier, 2), plan.sampling, round(plan.epsilon, 2)
(2.02, 'poisson', 3.0)
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from hallmark.contracts.errors import Fault, InputError
from hallmark.privacy import accounting, banded, calibration, contour, tree
from hallmark.privacy.noise import Banded, Noise, Tree, White
from hallmark.privacy.params import DP_FTRL, DP_FTRL_TREE, DP_SGD, UNITS
from hallmark.privacy.privacy_loss import Gaussian, Mechanism
from hallmark.privacy.sampling import Sampler

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hallmark.privacy.charges import Charge
    from hallmark.privacy.keys import Key

#: bandwidths tried, as far as the data have room for their groups
BANDWIDTHS = (1, 2, 4, 8, 16, 32, 64, 128)
POISSON, CYCLIC, FIXED = "poisson", "poisson within cyclic groups", "fixed order"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """``clip``: the norm of a unit's gradient; ``noise_multiplier``: the noise's standard deviation over ``clip``.

    ``groups`` divide the units, a step sees one of them; ``rate`` is the probability of a unit there (numerator,
    denominator); ``epsilon`` is what training and charges together spend, and ``second_epsilon`` the second
    accountant's value of the same.
    """

    mechanism: str
    unit: str
    group_cap: int
    units: int
    batch_size: int
    steps: int
    clip: float
    target_epsilon: float
    delta: float
    momentum: float
    groups: int
    rate: tuple[int, int]
    coefficients: tuple[float, ...]
    noise_multiplier: float
    charges: tuple[Charge, ...]
    epsilon: float
    second_epsilon: float

    @property
    def sampling(self) -> str:
        """How batches are drawn."""
        if self.mechanism == DP_FTRL_TREE:
            return FIXED
        return POISSON if self.groups == 1 else CYCLIC

    @property
    def bandwidth(self) -> int:
        """Steps over which noise is correlated directly; 1 for independent noise, and for trees."""
        return len(self.coefficients)

    @property
    def deviation(self) -> float:
        """The standard deviation of the noise in a step's sum of clipped gradients."""
        return self.noise_multiplier * self.clip

    @property
    def digest(self) -> str:
        """SHA-256 of all values."""
        return hashlib.sha256(json.dumps(dataclasses.asdict(self), sort_keys=True).encode()).hexdigest()

    def mechanisms(self) -> list[Mechanism]:
        """What the run releases, for the ledger: training and charges."""
        training = _released(
            self.mechanism, self.noise_multiplier, Fraction(*self.rate), steps=self.steps, groups=self.groups
        )
        return [training, *(charge.mechanism for charge in self.charges)]

    def sampler(self, key: Key, units: Sequence[str]) -> Sampler:
        """The batches, for the units' keys."""
        assert len(units) == self.units, (len(units), self.units)
        return Sampler(key=key, units=tuple(units), rate=Fraction(*self.rate), groups=self.groups)

    def noise(self, key: Key, sizes: Sequence[int]) -> Noise:
        """Noise of standard deviation 1 for tensors of these numbers of elements; scale it by :attr:`deviation`."""
        if self.mechanism == DP_SGD:
            return White(key, sizes=sizes)
        if self.mechanism == DP_FTRL_TREE:
            return Tree(key, sizes=sizes)
        strategy = banded.Strategy(coefficients=self.coefficients, steps=self.steps)
        return Banded(key, sizes=sizes, strategy=strategy)


def made(
    *,
    mechanism: str,
    epsilon: float,
    delta: float,
    unit: str,
    group_cap: int,
    units: int,
    batch_size: int,
    steps: int,
    clip: float,
    bandwidth: int | Literal["auto"] = "auto",
    momentum: float = 0.0,
    charges: tuple[Charge, ...] = (),
) -> Plan:
    """The plan with the least noise that keeps training and charges within (epsilon, delta).

    ``momentum`` is the optimiser's: dp_ftrl correlates its noise for the sums that the optimiser uses. Raises
    InputError if the budget is too small or the bandwidth too large for the number of units.
    """
    assert unit in UNITS, unit
    assert 1 <= batch_size <= units, (batch_size, units)
    assert steps >= 1, steps
    target = calibration.Target(epsilon=epsilon, delta=delta, charges=tuple(each.mechanism for each in charges))
    choices = [
        _calibrated(mechanism, band, target, units=units, batch_size=batch_size, steps=steps, momentum=momentum)
        for band in _bandwidths(mechanism, bandwidth, units=units, batch_size=batch_size, steps=steps)
    ]
    best = min(choices, key=lambda each: each.error)
    released = [
        _released(mechanism, best.noise_multiplier, best.rate, steps=steps, groups=best.groups),
        *target.charges,
    ]
    return Plan(
        mechanism=mechanism,
        unit=unit,
        group_cap=group_cap,
        units=units,
        batch_size=batch_size,
        steps=steps,
        clip=clip,
        target_epsilon=epsilon,
        delta=delta,
        momentum=momentum,
        groups=best.groups,
        rate=(best.rate.numerator, best.rate.denominator),
        coefficients=best.coefficients,
        noise_multiplier=best.noise_multiplier,
        charges=charges,
        epsilon=accounting.epsilon(released, delta=delta),
        second_epsilon=contour.epsilon(released, delta=delta),
    )


@dataclass(frozen=True, kw_only=True)
class _Calibrated:
    """A mechanism at the noise that the budget needs, and the error of its sums in units of ``clip``."""

    groups: int
    rate: Fraction
    coefficients: tuple[float, ...]
    noise_multiplier: float
    error: float


def _calibrated(
    mechanism: str,
    bandwidth: int,
    target: calibration.Target,
    *,
    units: int,
    batch_size: int,
    steps: int,
    momentum: float,
) -> _Calibrated:
    if mechanism == DP_FTRL_TREE:
        groups = min(steps, max(1, units // batch_size))
        rate, strategy = Fraction(1), banded.optimised(steps=steps, bandwidth=1)
    else:
        groups, rate = bandwidth, Fraction(bandwidth * batch_size, units)
        strategy = banded.optimised(steps=steps, bandwidth=bandwidth, momentum=momentum)
    sigma = calibration.noise_multiplier(
        lambda trial: [_released(mechanism, trial, rate, steps=steps, groups=groups)], target=target
    )
    return _Calibrated(
        groups=groups,
        rate=rate,
        coefficients=strategy.coefficients,
        noise_multiplier=sigma,
        error=sigma * banded.rms_error(strategy, momentum=momentum),
    )


def _released(mechanism: str, noise_multiplier: float, rate: Fraction, *, steps: int, groups: int) -> Gaussian:
    """Training as the accountant sees it.

    With groups, a unit takes part in at most one of ``groups`` steps in a row, ceil(steps / groups) times in all. A
    tree is one Gaussian of its own sensitivity.
    """
    if mechanism == DP_FTRL_TREE:
        return Gaussian(noise_multiplier=noise_multiplier / tree.sensitivity(steps=steps, groups=groups))
    return Gaussian(noise_multiplier=noise_multiplier, sampling_rate=float(rate), count=math.ceil(steps / groups))


def _bandwidths(
    mechanism: str, bandwidth: int | Literal["auto"], *, units: int, batch_size: int, steps: int
) -> list[int]:
    """The bandwidths to choose from: dp_ftrl's groups need room for whole batches."""
    if mechanism != DP_FTRL:
        return [1]
    largest = min(steps, units // batch_size)
    if bandwidth == "auto":
        return [each for each in BANDWIDTHS if each <= largest]
    if bandwidth > largest:
        message = (
            f"bandwidth is {bandwidth}, but {steps} steps of {batch_size} of {units} units allow {largest} at most"
        )
        raise InputError.of([Fault(message, "give at most that, or auto", "bandwidth")])
    return [bandwidth]
