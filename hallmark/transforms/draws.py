"""Random numbers for many images at once, each a function of (image key, slot) only.

A key encodes (seed, epoch, image); a slot is one quantity of one transform. The generator is SplitMix64 (Steele, Lea &
Flood 2014) used as a counter-based generator: it has no state, so the result does not depend on order or batch.

>>> drawn = Draws(keys(seed=7, rows=np.array([3, 4]), positions=np.array([0, 1])))
>>> alone = Draws(keys(seed=7, rows=np.array([4]), positions=np.array([1])))
>>> bool(drawn.uniform(0)[1] == alone.uniform(0)[0])
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Keys = NDArray[np.uint64]

_GAMMA = 0x9E3779B97F4A7C15
_ALL = 2**64 - 1


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finalizer: a bijection of 64 bits in which every input bit reaches every output bit."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def keys(*, seed: int, rows: NDArray[np.int64], positions: NDArray[np.int64]) -> Keys:
    """uint64 [n]: a key for each image ``rows`` at its ``positions`` in the epoch; ``seed`` encodes (seed, epoch)."""
    base = np.uint64(seed) + np.uint64(_GAMMA) * rows.astype(np.uint64)
    return _mixed(_mixed(base) + np.uint64(_GAMMA) * positions.astype(np.uint64))


@final
class Draws:
    """Draws for the images of ``keys``, uint64 [n]."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys

    def __len__(self) -> int:
        return len(self.keys)

    def at(self, chosen: NDArray[np.int64]) -> Draws:
        """The draws of the chosen images."""
        return Draws(self.keys[chosen])

    def bits(self, slot: int) -> NDArray[np.uint64]:
        """64 random bits for each image."""
        return _mixed(self.keys + np.uint64(_GAMMA * (slot + 1) & _ALL))

    def uniform(self, slot: int, low: float = 0.0, high: float = 1.0) -> NDArray[np.float64]:
        """float64 [n] in [low, high)."""
        return low + (high - low) * ((self.bits(slot) >> np.uint64(11)).astype(np.float64) * 2.0**-53)

    def integers(self, slot: int, low: ArrayLike, high: ArrayLike) -> NDArray[np.int64]:
        """int64 [n] in [low, high], both ends included; the bounds may differ per image."""
        low, high = np.asarray(low), np.asarray(high)
        drawn: NDArray[np.int64] = np.floor(self.uniform(slot) * (high - low + 1)).astype(np.int64) + low
        return drawn
