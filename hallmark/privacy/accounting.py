"""Privacy accounting by numerical composition of privacy loss distributions (PLD).

The loss of several mechanisms is the sum of their losses, so its distribution is a convolution, which the Fourier
transform computes on a grid of losses (Koskela et al. 2020). Two discretisations enclose the truth:

- *pessimistic*: the mass of a cell goes to the cell's two edges so that its masses under ``P`` and ``Q`` are both kept
  ("connect the dots", Doroshenko et al. 2022). The result dominates the mechanism: epsilon is an upper bound.
- *optimistic*: masses of neighbouring cells merge into the edge between them in proportions that give it that edge's
  ratio. Merging is post-processing, and what cannot be balanced is rounded down: epsilon is a lower bound.

Masses that leave the grid count against the pessimistic bound and for the optimistic one. The bounds hold up to the
rounding of float64, which is about 1e-13 in delta: use deltas of 1e-10 and above.

>>> one = Gaussian(noise_multiplier=1.0, sampling_rate=0.01, count=1000)
>>> round(epsilon([one], delta=1e-5), 2)
1.83
>>> epsilon([one], delta=1e-5) - epsilon([one], delta=1e-5, bound="optimistic") < 1e-3
True
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from scipy import fft

from hallmark.privacy.privacy_loss import DIRECTIONS, Direction, Gaussian, Laplace, Mechanism

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

__all__ = ["LEAST_DELTA", "Gaussian", "Laplace", "Mechanism", "delta", "epsilon"]

Bound: TypeAlias = Literal["pessimistic", "optimistic"]
NAME = "PLD by FFT, connect the dots"
LEAST_DELTA = 1e-10
_OUTSIDE = 1e-15  # mass that may leave the grid at each end
_WIDEST = 5e-4  # largest step of the grid
_STEP = 0.02  # step in mean sizes of a single loss
_LARGEST = 500.0  # losses beyond count as infinite; their exponentials would overflow
_POINTS = 2**22  # points of the grid at most
_ORDERS = tuple(2.0**k for k in range(-5, 12))  # exponents tried in Chernoff's bound


@dataclass(frozen=True)
class _Discrete:
    """Masses [points] at losses ``step * (start + i)``, and the mass of an infinite loss."""

    step: float
    start: int
    masses: Floats
    infinite: float

    def losses(self) -> Floats:
        return self.step * np.arange(self.start, self.start + len(self.masses), dtype=np.float64)


def epsilon(mechanisms: Iterable[Mechanism], *, delta: float, bound: Bound = "pessimistic") -> float:
    """The least epsilon >= 0 for which all mechanisms together are (epsilon, delta)-differentially private.

    It is inf where no epsilon is: a delta below the mass that leaves the grid.
    """
    assert 0 < delta < 1, delta
    return max(_epsilon(each, delta) for each in _composed(mechanisms, bound))


def delta(mechanisms: Iterable[Mechanism], *, epsilon: float, bound: Bound = "pessimistic") -> float:
    """The least delta for which all mechanisms together are (epsilon, delta)-differentially private."""
    assert epsilon >= 0, epsilon
    return max(_delta(each, epsilon) for each in _composed(mechanisms, bound))


def _composed(mechanisms: Iterable[Mechanism], bound: Bound) -> list[_Discrete]:
    """The composed loss in both directions; a loss of 0 for no mechanism at all."""
    released = [each for each in mechanisms if each.count > 0]
    if not released:
        return [_Discrete(1.0, 0, np.ones(1), 0.0)]
    return [_compose(released, direction, bound) for direction in DIRECTIONS]


def _compose(mechanisms: Sequence[Mechanism], direction: Direction, bound: Bound) -> _Discrete:
    step = _step(mechanisms)
    while True:
        singles = [(_discretised(each, direction, step, bound), each.count) for each in mechanisms]
        if sum(single.infinite * count for single, count in singles) > 0.5:
            return _Discrete(step, 0, np.zeros(1), 1.0)  # nearly every loss is beyond the largest
        low, high = _window(singles)
        points = math.ceil((high - low) / step) + 2
        if points <= _POINTS:
            return _convolved(singles, step, math.floor(low / step), fft.next_fast_len(points, real=True), bound)
        step *= 2


def _step(mechanisms: Sequence[Mechanism]) -> float:
    """The grid's step: fine against the mean size of a loss, the average over all that are released."""
    total = sum(each.count * each.mean_size() for each in mechanisms)
    return min(_WIDEST, _STEP * total / sum(each.count for each in mechanisms))


def _discretised(mechanism: Mechanism, direction: Direction, step: float, bound: Bound) -> _Discrete:
    low, high = (min(max(each, -_LARGEST), _LARGEST) for each in mechanism.range(direction))
    start, end = math.floor(low / step) - 1, math.ceil(high / step) + 1
    edges = step * np.arange(start, end + 1, dtype=np.float64)
    p, q = mechanism.masses(edges, direction)
    if bound == "optimistic":
        masses = _merged(p[1:-1], q[1:-1] * np.exp(edges[:-1]), math.exp(step))
        masses[-1] += p[-1]
        return _Discrete(step, start, masses, 0.0)
    # a cell's mass at its lower edge, so that P's and Q's masses are those of the cell
    down = math.exp(-step)
    lower = np.clip((q[1:-1] * np.exp(edges[:-1]) - p[1:-1] * down) / -math.expm1(-step), 0.0, p[1:-1])
    masses = np.zeros(len(edges))
    masses[:-1] += lower
    masses[1:] += p[1:-1] - lower
    masses[0] += p[0]
    return _Discrete(step, start, masses, float(p[-1]))


def _merged(p: Floats, q: Floats, up: float) -> Floats:
    """Masses at the edges [cells + 1] of cells with masses ``p`` of P and ``q`` of Q times exp(lower edge).

    The share ``raised[i]`` of cell i goes to its upper edge, where it lacks ``raised[i] * deficit[i]`` to the edge's
    ratio; the next cell's mass at the same edge must have that surplus. The rest goes to the lower edge, as any mass
    may. The shares are found from both ends to the cell of most mass, the direction in which errors shrink.
    """
    surplus = np.maximum(p - q, 0.0).tolist()  # of a cell against its lower edge
    deficit = np.maximum(q * up - p, 0.0).tolist()  # of a cell against its upper edge
    cells, middle = len(p), int(np.argmax(p))
    raised = [0.0] * cells
    for cell in range(cells - 2, middle - 1, -1):
        raised[cell] = _balanced((1.0 - raised[cell + 1]) * surplus[cell + 1], deficit[cell])
    raised_before = 0.5
    for cell in range(1, middle + 1):
        raised[cell - 1] = min(raised_before, _balanced(surplus[cell], deficit[cell - 1]))
        left = 1.0 - raised[cell - 1] * deficit[cell - 1] / surplus[cell] if surplus[cell] > 0 else 0.0
        raised_before = max(left, 0.0)
    if middle > 0:
        raised[middle] = min(raised[middle], raised_before)
    upwards = p * np.array(raised)
    return np.asarray(np.append(p - upwards, 0.0) + np.append(0.0, upwards))


def _balanced(surplus: float, deficit: float) -> float:
    """The share of a cell whose deficit the surplus balances."""
    return 1.0 if surplus >= deficit else surplus / deficit


def _window(singles: Sequence[tuple[_Discrete, int]]) -> tuple[float, float]:
    """Losses beyond which the sum has a mass of at most :data:`_OUTSIDE` at either end, by Chernoff's bound."""
    needed = -math.log(_OUTSIDE)
    ends = []
    for sign in (-1, 1):
        coarse = [(*_coarse(each, sign), count) for each, count in singles]
        bounds = []
        for order in _ORDERS:
            exponents = [c * float(np.log(m @ np.exp(order * (x - x.max()))) + order * x.max()) for x, m, c in coarse]
            bounds.append((sum(exponents) + needed) / order)
        ends.append(sign * min(bounds))
    return ends[0], ends[1]


def _coarse(single: _Discrete, sign: int) -> tuple[Floats, Floats]:
    """Losses times ``sign`` and masses of at most 4096 points, none of them 0; masses are moved upwards only."""
    present = single.masses > 0
    losses, masses = sign * single.losses()[present], single.masses[present]
    starts = np.arange(0, len(masses), max(1, math.ceil(len(masses) / 4096)))
    return np.maximum.reduceat(losses, starts), np.add.reduceat(masses, starts)


def _convolved(
    singles: Sequence[tuple[_Discrete, int]], step: float, start: int, points: int, bound: Bound
) -> _Discrete:
    """The sum's masses on a circular grid of ``points`` from loss ``step * start``."""
    spectrum = np.ones(points // 2 + 1, np.complex128)
    log_finite, offset = 0.0, 0
    for single, count in singles:
        circular = np.zeros(-(-len(single.masses) // points) * points)
        circular[: len(single.masses)] = single.masses
        single_spectrum = fft.rfft(circular.reshape(-1, points).sum(axis=0))
        # the sum of the masses is known: its rounding, raised to the power of count, would not be small
        spectrum *= (single_spectrum / single_spectrum[0].real) ** count
        log_finite += count * math.log1p(-single.infinite)
        offset += single.start * count
    masses = np.maximum(fft.irfft(spectrum, points), 0.0) * math.exp(log_finite)
    infinite = -math.expm1(log_finite) + _OUTSIDE if bound == "pessimistic" else -_OUTSIDE
    return _Discrete(step, start, np.roll(masses, (offset - start) % points), infinite)


def _delta(loss: _Discrete, epsilon: float) -> float:
    losses = loss.losses()
    above = losses > epsilon
    exceeding = loss.masses[above] @ -np.expm1(epsilon - losses[above]) if above.any() else 0.0
    return min(1.0, max(0.0, loss.infinite + float(exceeding)))


def _epsilon(loss: _Discrete, delta: float) -> float:
    """Between neighbouring losses, delta is ``infinite + mass above - exp(epsilon) * tilted mass above``."""
    if loss.infinite > delta:
        return math.inf
    losses = loss.losses()
    first, end = np.searchsorted(losses, [0.0, _LARGEST], side="right")
    if first == len(losses):
        return 0.0
    above = np.cumsum(loss.masses[first:][::-1])[::-1][: end - first] + loss.infinite
    losses, masses = losses[first:end], loss.masses[first:end]
    tilted = np.cumsum((masses * np.exp(-losses))[::-1])[::-1]
    # delta at each loss, where that loss itself no longer counts
    at_loss = above - np.exp(losses) * tilted
    index = int(np.argmax(at_loss <= delta)) if (at_loss <= delta).any() else len(losses)
    if index == len(losses):
        return math.inf
    if above[index] <= delta:
        return float(losses[index - 1]) if index else 0.0
    return max(0.0, math.log((above[index] - delta) / tilted[index]))
