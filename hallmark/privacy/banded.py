"""Banded matrix factorisation: noise that is correlated over steps and partly cancels in their sum (dp_ftrl).

Training uses sums of gradients over steps, A G with A lower triangular (all ones for plain SGD), rather than single
ones. DP-FTRL releases G + C⁻¹ Z with Z white noise and C a lower triangular matrix with ``bandwidth`` diagonals and
columns of norm 1 (Choquette-Choo et al. 2023, "(Amplified) banded matrix factorization"). The expected squared error of
the sums is ‖A C⁻¹‖² sigma². With bandwidth 1, C is the identity and the method is DP-SGD.

A unit that takes part at most once in ``bandwidth`` steps in a row meets columns with disjoint rows, so that each of
its at most ceil(steps / bandwidth) participations is one release of a Gaussian of sensitivity 1.

Here C is a Toeplitz matrix with its columns scaled to norm 1; only the last ``bandwidth - 1`` need it. Its coefficients
minimise the error, found by L-BFGS with exact gradients in O(steps · bandwidth).

>>> strategy = optimised(steps=100, bandwidth=10)
>>> round(rms_error(strategy) / rms_error(optimised(steps=100, bandwidth=1)), 2)
0.41
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from scipy.optimize import minimize
from scipy.signal import lfilter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """C for a number of steps: ``coefficients`` [bandwidth] of a Toeplitz matrix, of norm 1, the first positive.

    C = T D with T[i, j] = coefficients[i - j] and D diagonal, 1 / the norm of T's column.
    """

    coefficients: tuple[float, ...]
    steps: int

    def __post_init__(self) -> None:
        assert 1 <= len(self.coefficients) <= self.steps, (len(self.coefficients), self.steps)
        assert self.coefficients[0] > 0, self.coefficients

    @property
    def bandwidth(self) -> int:
        """The number of diagonals, the steps over which noise is correlated directly."""
        return len(self.coefficients)

    def norm(self, step: int) -> float:
        """The norm of T's column ``step``: 1 but for the last ones, which the matrix's end cuts off."""
        kept = self.coefficients[: self.steps - step]
        return float(np.sqrt(np.square(kept).sum()))

    def matrix(self) -> Floats:
        """C [steps, steps], for tests and small numbers of steps."""
        dense = np.zeros((self.steps, self.steps))
        for lag, value in enumerate(self.coefficients):
            dense += np.diag(np.full(self.steps - lag, value), -lag)
        return np.asarray(dense / np.array([self.norm(step) for step in range(self.steps)]))


def optimised(*, steps: int, bandwidth: int, momentum: float = 0.0) -> Strategy:
    """The strategy with the least expected squared error of the sums that SGD with this momentum uses."""
    assert 1 <= bandwidth <= steps, (bandwidth, steps)
    if bandwidth == 1:
        return Strategy(coefficients=(1.0,), steps=steps)
    # ratios of successive coefficients, at most 1: then C⁻¹ is stable (Eneström and Kakeya). The start is the optimum
    # without a band, of which single participation is the case (Fichtenberger et al. 2023)
    start = np.array([(2 * k - 1) / (2 * k) for k in range(1, bandwidth)])
    found = minimize(
        lambda ratios: _by_ratios(ratios, steps, momentum),
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[(1e-3, 1.0)] * (bandwidth - 1),
        options={"maxiter": 1000, "ftol": 1e-12, "gtol": 1e-8},
    )
    coefficients = np.cumprod(np.append(1.0, found.x))
    return Strategy(coefficients=tuple((coefficients / np.linalg.norm(coefficients)).tolist()), steps=steps)


def _by_ratios(ratios: Floats, steps: int, momentum: float) -> tuple[float, Floats]:
    """:func:`_error` and its gradient by the ratios of successive coefficients."""
    coefficients = np.cumprod(np.append(1.0, ratios))
    value, gradient = _error(coefficients, steps, momentum)
    return value, np.cumsum((gradient * coefficients[1:])[::-1])[::-1] / ratios


def rms_error(strategy: Strategy, *, momentum: float = 0.0) -> float:
    """The root mean squared error of the sums over all steps, at white noise of standard deviation 1.

    It is that of T, which is a little more than C's: the last ``bandwidth - 1`` rows of C's noise are smaller.
    """
    sums = _sums(np.array(strategy.coefficients), strategy.steps, momentum)
    remaining = np.arange(strategy.steps, 0, -1)
    return float(np.sqrt(sums**2 @ remaining / strategy.steps))


def _sums(coefficients: Floats, steps: int, momentum: float) -> Floats:
    """The first column of A T⁻¹ [steps]: how one step's white noise enters the sums of the steps after it."""
    return np.asarray(lfilter([1.0], np.convolve(coefficients, [1.0, -momentum]), np.ones(steps)))


def _error(coefficients: Floats, steps: int, momentum: float) -> tuple[float, Floats]:
    """log of ‖A T⁻¹‖² ‖coefficients‖², and its gradient by all coefficients but the first."""
    sums = _sums(coefficients, steps, momentum)
    weighted = sums * np.arange(steps, 0, -1)
    total, squared_norm = float(sums @ weighted), float(coefficients @ coefficients)
    # d sums / d coefficient j is the inverse's response to the sums, negated and delayed by j
    response = lfilter([1.0], coefficients, sums)
    slopes = [-2 * float(weighted[lag:] @ response[: steps - lag]) for lag in range(1, len(coefficients))]
    gradient = np.array(slopes) / total + 2 * coefficients[1:] / squared_norm
    return float(np.log(total) + np.log(squared_norm)), gradient
