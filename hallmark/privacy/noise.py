"""The noise of each step's summed gradient, streamed: white, correlated by a band, or by a tree.

All give the noise that is added to one step's sum of clipped gradients, in units of ``sigma`` times the clipping norm;
optimisers see noisy gradients and need not know the mechanism. Noise is a function of key and step. Bands and trees
also keep a few rows of earlier noise, which :meth:`Noise.advance` rebuilds when a run resumes.

>>> from hallmark.privacy.keys import Key
>>> noise = White(Key.fixed(0), sizes=[3, 1])
>>> [values.shape for values in noise.draw(0)]
[(3,), (1,)]
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, TypeAlias, final

import numpy as np

from hallmark.privacy import tree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from hallmark.privacy.banded import Strategy
    from hallmark.privacy.keys import Key

    Floats: TypeAlias = NDArray[np.float64]
    Rows: TypeAlias = list[Floats]


class Noise(ABC):
    """Noise of standard deviation 1 for tensors of ``sizes`` elements each, drawn step by step in order."""

    def __init__(self, key: Key, *, sizes: Sequence[int]) -> None:
        self._key, self._sizes, self._next = key, tuple(sizes), 0

    def draw(self, step: int) -> Rows:
        """The noise of a step, one array [size] per tensor. Steps come in order from 0, each once."""
        assert step == self._next, f"step {step} drawn, but {self._next} is next"
        self._next += 1
        return self._draw(step)

    def advance(self, step: int) -> None:
        """Draws and discards the steps before ``step``, after which the stream is where it was before."""
        while self._next < step:
            self.draw(self._next)

    @abstractmethod
    def _draw(self, step: int) -> Rows: ...

    def _white(self, purpose: str, *index: int) -> Rows:
        streams = (self._key.stream(purpose, *index, tensor) for tensor in range(len(self._sizes)))
        return [stream.normal(size) for stream, size in zip(streams, self._sizes, strict=True)]


@final
class White(Noise):
    """Independent noise at each step: dp_sgd."""

    def advance(self, step: int) -> None:
        """Needs no earlier noise."""
        self._next = step

    def _draw(self, step: int) -> Rows:
        return self._white("noise", step)


@final
class Banded(Noise):
    """The rows of C⁻¹ Z, from the ``bandwidth - 1`` rows before: dp_ftrl."""

    def __init__(self, key: Key, *, sizes: Sequence[int], strategy: Strategy) -> None:
        super().__init__(key, sizes=sizes)
        self._strategy = strategy
        self._before: deque[Rows] = deque(maxlen=strategy.bandwidth - 1)

    def _draw(self, step: int) -> Rows:
        assert step < self._strategy.steps, (step, self._strategy.steps)
        first, *others = self._strategy.coefficients
        rows = self._white("noise", step)
        for coefficient, before in zip(others, reversed(self._before), strict=False):
            for row, earlier in zip(rows, before, strict=True):
                row -= coefficient * earlier
        for row in rows:
            row /= first
        self._before.append(rows)
        norm = self._strategy.norm(step)
        return [row * norm for row in rows]


@final
class Tree(Noise):
    """The change of the noise of Honaker's sums from one step to the next: dp_ftrl_tree."""

    def __init__(self, key: Key, *, sizes: Sequence[int]) -> None:
        super().__init__(key, sizes=sizes)
        self._nodes: list[tuple[int, Rows]] = []  # height and noise of the nodes that make up the steps so far

    def _draw(self, step: int) -> Rows:
        before = self._sums()
        height, node = 0, self._white("tree", 0, step)
        while self._nodes and self._nodes[-1][0] == height:
            _, sibling = self._nodes.pop()
            height += 1
            weight = tree.own_weight(height)
            own = self._white("tree", height, step)
            node = [
                weight * mine + (1 - weight) * (left + right)
                for mine, left, right in zip(own, sibling, node, strict=True)
            ]
        self._nodes.append((height, node))
        return [now - earlier for now, earlier in zip(self._sums(), before, strict=True)]

    def _sums(self) -> Rows:
        sums = [np.zeros(size) for size in self._sizes]
        for _, node in self._nodes:
            for total, values in zip(sums, node, strict=True):
                total += values
        return sums
