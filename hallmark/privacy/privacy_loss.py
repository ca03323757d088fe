"""The random mechanisms that Hallmark charges for, as privacy losses.

Neighbouring data sets differ in one unit, whose contribution is replaced with zero (*zero-out* adjacency); the number
of units is fixed and public. Of such a pair, ``P`` is the mechanism's output distribution on one data set and ``Q`` on
the other. The privacy loss is ``L = log(P(x) / Q(x))`` for ``x`` drawn from ``P``. Both orders of the pair count:
``removed`` has the unit under ``P`` and not under ``Q``, ``added`` the reverse.

A mechanism gives the mass of ``P`` and of ``Q`` between edges of the loss, and the moment generating function of
``L`` at complex arguments. The two accountants start from one each: ``accounting`` from the masses, ``contour`` from
the function.

>>> import numpy as np
>>> p, q = Gaussian(noise_multiplier=1.0, sampling_rate=1.0).masses(np.array([-0.5, 0.5]), "removed")
>>> p.round(4).tolist(), q.round(4).tolist()
([0.1587, 0.3413, 0.5], [0.5, 0.3413, 0.1587])
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from scipy.special import ndtr

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Complexes: TypeAlias = NDArray[np.complex128]

Direction: TypeAlias = Literal["removed", "added"]
DIRECTIONS: tuple[Direction, Direction] = ("removed", "added")
_REACH = 9.5  # standard deviations: beyond lies a mass of 1e-21
_NODES = 12  # quadrature nodes per standard deviation or period, whichever is shorter


@dataclass(frozen=True, kw_only=True)
class Gaussian:
    """A sum of vectors of norm at most 1, one a unit, each included with ``sampling_rate``, plus Gaussian noise.

    ``noise_multiplier`` is the noise's standard deviation in units of that norm. ``count`` such sums are released.
    """

    noise_multiplier: float
    sampling_rate: float = 1.0
    count: int = 1

    def __post_init__(self) -> None:
        assert self.noise_multiplier > 0, self.noise_multiplier
        assert 0 < self.sampling_rate <= 1, self.sampling_rate
        assert self.count >= 0, self.count

    def range(self, direction: Direction) -> tuple[float, float]:
        """The losses that hold all but 1e-21 of the mass of ``P``."""
        ends = self._loss(np.array([-_REACH * self.noise_multiplier, 1 + _REACH * self.noise_multiplier]))
        low, high = float(ends[0]), float(ends[1])
        return (low, high) if direction == "removed" else (-high, -low)

    def masses(self, edges: Floats, direction: Direction) -> tuple[Floats, Floats]:
        """Masses of ``P`` and ``Q`` [edges + 1] below, between and above increasing losses [edges]."""
        if direction == "added":
            absent, present = self._masses(-edges[::-1])
            return absent[::-1], present[::-1]
        absent, present = self._masses(edges)
        return present, absent

    def log_mgf(self, z: Complexes, direction: Direction) -> Complexes:
        """log E[exp(z L)] at complex points [points] whose real parts are equal."""
        return self._log_power_mean(z + 1 if direction == "removed" else -z)

    def mean_size(self) -> float:
        """E|L| of one release with the unit removed, by quadrature."""
        sigma, q = self.noise_multiplier, self.sampling_rate
        x = np.linspace(-_REACH * sigma, 1 + _REACH * sigma, 4001)
        density = (1 - q) * np.exp(-((x / sigma) ** 2) / 2) + q * np.exp(-(((x - 1) / sigma) ** 2) / 2)
        return float((density * np.abs(self._loss(x))).sum() / density.sum())

    def _loss(self, x: Floats) -> Floats:
        """The log ratio of the densities with and without the unit at outputs ``x``."""
        exponent = (2 * x - 1) / (2 * self.noise_multiplier**2)
        q = self.sampling_rate
        if q == 1:
            return np.asarray(exponent)
        return np.asarray(np.logaddexp(math.log1p(-q), math.log(q) + exponent))

    def _output(self, loss: Floats) -> Floats:
        """The output at which the loss is ``loss``; -inf below the least loss, log(1 - sampling_rate)."""
        q = self.sampling_rate
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            odds = np.where(loss > 30, loss - math.log(q), np.log1p(np.maximum(np.expm1(loss) / q, -1.0)))
        return np.asarray(self.noise_multiplier**2 * odds + 0.5)

    def _masses(self, edges: Floats) -> tuple[Floats, Floats]:
        """Masses without and with the unit between losses of the unit removed."""
        x = np.concatenate([[-np.inf], self._output(edges), [np.inf]]) / self.noise_multiplier
        without = _normal_masses(x)
        shifted = _normal_masses(x - 1 / self.noise_multiplier)
        return without, (1 - self.sampling_rate) * without + self.sampling_rate * shifted

    def _log_power_mean(self, power: Complexes) -> Complexes:
        """log E of exp(power · loss) over outputs without the unit, by the trapezoidal rule, exact to rounding."""
        sigma, real = self.noise_multiplier, float(power[0].real)
        reach = (_REACH + 1) * sigma
        low, high = min(0.0, real) - reach, max(1.0, real) + reach
        result = np.empty(len(power), np.complex128)
        for block in _by_magnitude(np.abs(power.imag)):
            fastest = max(float(np.abs(power.imag[block]).max()), 1e-9)
            step = min(sigma, 2 * math.pi * sigma**2 / fastest) / _NODES
            x = np.linspace(low, high, max(int((high - low) / step), 2) + 1)
            loss = self._loss(x)
            exponent = real * loss - (x / sigma) ** 2 / 2
            largest = exponent.max()
            weights = np.exp(exponent - largest) * (x[1] - x[0]) / (sigma * math.sqrt(2 * math.pi))
            for few in np.array_split(block, max(1, len(block) * len(x) // 2_000_000)):
                result[few] = np.log(np.exp(1j * np.outer(power.imag[few], loss)) @ weights) + largest
        return result


@dataclass(frozen=True, kw_only=True)
class Laplace:
    """A number that one unit changes by at most 1, plus Laplace noise of ``scale``; ``count`` such numbers."""

    scale: float
    count: int = 1

    def __post_init__(self) -> None:
        assert self.scale > 0, self.scale
        assert self.count >= 0, self.count

    def range(self, direction: Direction) -> tuple[float, float]:
        """The losses that hold all mass of ``P``; both directions are alike."""
        del direction
        return -1 / self.scale, 1 / self.scale

    def masses(self, edges: Floats, direction: Direction) -> tuple[Floats, Floats]:
        """Masses of ``P`` and ``Q`` [edges + 1] below, between and above increasing losses [edges]."""
        del direction
        b = self.scale
        inside = np.clip(edges, -1 / b, 1 / b)
        p = np.where(edges < -1 / b, 0.0, np.where(edges >= 1 / b, 1.0, np.exp((inside - 1 / b) / 2) / 2))
        q = np.where(edges < -1 / b, 0.0, np.where(edges >= 1 / b, 1.0, 1 - np.exp(-(inside + 1 / b) / 2) / 2))
        return np.diff(p, prepend=0.0, append=1.0), np.diff(q, prepend=0.0, append=1.0)

    def log_mgf(self, z: Complexes, direction: Direction) -> Complexes:
        """log E[exp(z L)] at complex points [points] with positive real parts."""
        del direction
        e, slope = 1 / self.scale, 1 + 2 * z
        between = -np.expm1(-slope * e) / slope
        return np.asarray(z * e + np.log((1 + np.exp(-slope * e) + between) / 2))

    def mean_size(self) -> float:
        """E|L| of one release, or a little more."""
        return 1 / self.scale


Mechanism: TypeAlias = Gaussian | Laplace


def _normal_masses(x: Floats) -> Floats:
    """Standard normal masses [n - 1] between increasing points [n], accurate in both tails."""
    below, above = ndtr(x), ndtr(-x)
    return np.asarray(np.where(x[:-1] > 0, above[:-1] - above[1:], below[1:] - below[:-1]))


def _by_magnitude(values: Floats) -> list[NDArray[np.int64]]:
    """Indices in groups of values within a factor of 2, so that each group gets a grid fine enough for its largest."""
    level = np.floor(np.log2(np.maximum(values, 1.0))).astype(np.int64)
    return [np.flatnonzero(level == each) for each in np.unique(level)]
