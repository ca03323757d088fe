"""A second accountant: delta by an integral in the complex plane, without a grid of losses.

With the moment generating function ``M(z) = E[exp(z L)]`` of the composed loss,

    delta(epsilon) = E[(1 - exp(epsilon - L))+] = 1/(2 pi i) ∫ exp(-z epsilon) M(z) / (z (z + 1)) dz

along any vertical line with a positive real part, because 1/(z (z + 1)) is the Laplace transform of (1 - exp(-u))+ for
u > 0. The line goes through the exponent of Chernoff's bound, near the saddle point, where the integrand is largest on
the real axis and falls off quickest (the idea of Alghamdi et al. 2023, who expand there; here the integral is
computed). The rule is the trapezoidal one, whose error is that of a periodic repetition of the losses, and a smooth
taper ends the line (Abate and Whitt 1992). Its errors have nothing in common with those of ``accounting``.

>>> one = Gaussian(noise_multiplier=1.0, sampling_rate=0.01, count=1000)
>>> round(epsilon([one], delta=1e-5), 3)
1.828
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from scipy.optimize import brentq
from scipy.special import erfc

from hallmark.privacy.privacy_loss import DIRECTIONS, Direction, Gaussian, Mechanism

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Complexes: TypeAlias = NDArray[np.complex128]

__all__ = ["Gaussian", "epsilon"]

NAME = "contour integral of the moment generating function"
_ORDERS = tuple(2.0 ** (k / 2) for k in range(-12, 13))  # real parts that the line may have
_NEGLIGIBLE = 1e-12  # share of M against its largest value
_ERROR = 1e-6  # of delta, relative, that the repetition may make
_REACH = 120.0  # the end of the line times epsilon


def epsilon(mechanisms: Iterable[Mechanism], *, delta: float) -> float:
    """The least epsilon >= 0 for which all mechanisms together are (epsilon, delta)-differentially private."""
    assert 0 < delta < 1, delta
    released = [each for each in mechanisms if each.count > 0]
    least = 0.0
    for direction in DIRECTIONS if released else ():
        least = _epsilon(released, direction, delta, least=least)
    return least


def _epsilon(mechanisms: Sequence[Mechanism], direction: Direction, delta: float, *, least: float) -> float:
    """Epsilon of one direction, or ``least`` if it is less."""
    order, highest = _chernoff(mechanisms, direction, delta)
    guess = highest
    while guess > least:
        points, logs = _line(mechanisms, direction, order, guess, delta)
        found = _solution(points, logs, least=least, highest=highest, delta=delta)
        # the line's end suits an epsilon near the guess
        if found > 0.7 * guess:
            return found
        guess = found
    return least


def _solution(points: Complexes, logs: Complexes, *, least: float, highest: float, delta: float) -> float:
    """Epsilon in [least, highest] from log M at evenly spaced points of a line upwards from the real axis."""
    order, heights = float(points[0].real), points.imag
    weights = heights[1] / math.pi * erfc(8 * (heights / heights[-1] - 0.5)) / 2 / (points * (points + 1))
    weights[0] /= 2

    def at(trial: float) -> float:
        return float((weights * np.exp(logs - points * trial)).sum().real)

    # downwards from the bound in small steps: far from it the terms are large and cancel
    low = highest
    while low > least and at(low) <= delta:
        low = max(least, low - 1 / order)
    if at(low) <= delta:
        return least
    return float(brentq(lambda trial: at(trial) - delta, low, min(highest, low + 1 / order), xtol=1e-9))


def _chernoff(mechanisms: Sequence[Mechanism], direction: Direction, delta: float) -> tuple[float, float]:
    """The exponent of the least bound on the loss that is exceeded with probability delta, and the bound."""
    best = (math.nan, math.inf)
    for order in _ORDERS:
        bound = (_real_log_mgf(mechanisms, direction, order) - math.log(delta)) / order
        if bound > best[1]:
            break
        best = (order, bound)
    return best


def _line(
    mechanisms: Sequence[Mechanism], direction: Direction, order: float, guess: float, delta: float
) -> tuple[Complexes, Complexes]:
    """Evenly spaced points of a line upwards from the real axis at ``order``, and log M there.

    The spacing repeats the losses at a period that neither the mass at lower losses nor the tail of higher ones fills.
    """
    here = _real_log_mgf(mechanisms, direction, order)
    period = (-math.log(delta * _ERROR)) / order
    tails = [
        (_real_log_mgf(mechanisms, direction, beyond) - math.log(delta * _ERROR)) / (beyond - order)
        for beyond in order * np.array([1.03, 1.06, 1.12, 1.25, 1.5, 2.0])
    ]
    spacing = 2 * math.pi / max(period, min(tails))
    curvature = _real_log_mgf(mechanisms, direction, 0.99 * order) + _real_log_mgf(mechanisms, direction, 1.01 * order)
    width = 0.01 * order / math.sqrt(max(curvature - 2 * here, 1e-12))
    end = max(_REACH / guess, 16 * width)
    points = np.full(math.ceil(end / spacing) + 1, order, np.complex128)
    points.imag = spacing * np.arange(len(points))
    logs = np.full(len(points), -np.inf, np.complex128)
    for first in range(0, len(points), 32):
        part = _log_mgf(mechanisms, direction, points[first : first + 32])
        if (part.real < here + math.log(_NEGLIGIBLE)).all():
            break
        logs[first : first + 32] = part
    return points, logs


def _real_log_mgf(mechanisms: Sequence[Mechanism], direction: Direction, order: float) -> float:
    return float(_log_mgf(mechanisms, direction, np.array([order + 0j]))[0].real)


def _log_mgf(mechanisms: Sequence[Mechanism], direction: Direction, z: Complexes) -> Complexes:
    """A logarithm of M at complex points [points] of one real part."""
    total = np.zeros(len(z), np.complex128)
    for each in mechanisms:
        total += each.count * each.log_mgf(z, direction)
    return total
