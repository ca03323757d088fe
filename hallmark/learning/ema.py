"""An exponential moving average of the weights, which generalises better than the last step's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping


def decay(asked: float, step: int) -> float:
    """The decay of ``step`` (from 0): the one asked for, but over a twentieth of the steps so far at most.

    A longer average would still hold the first weights, which are random.

    >>> [round(decay(0.999, step), 3) for step in (0, 100, 100_000)]
    [0.05, 0.842, 0.999]
    """
    return min(asked, (1 + step) / (20 + step))


class Ema:
    """The average of a network's parameters and floating-point buffers; counters are copied. ``decay`` 0 copies all."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {name: value.detach().clone() for name, value in network.state_dict().items()}
        self._floats = [name for name, value in self.state.items() if value.is_floating_point()]
        self._mine = [self.state[name] for name in self._floats]
        self._tracked: tuple[nn.Module, list[Tensor], list[tuple[Tensor, Tensor]]] | None = None

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Takes the weights after ``step`` (from 0), with the decay of :func:`decay`."""
        if self._tracked is None or self._tracked[0] is not network:
            # a network's tensors are changed in place: they are looked up once, which else takes 4 % of a small step
            live = network.state_dict()
            others = [(value, live[name]) for name, value in self.state.items() if not value.is_floating_point()]
            self._tracked = (network, [live[name].detach() for name in self._floats], others)
        _, floats, counters = self._tracked
        torch._foreach_lerp_(self._mine, floats, 1 - decay(self.decay, step))
        for mine, theirs in counters:
            mine.copy_(theirs)

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Restores a saved state."""
        for name, value in self.state.items():
            value.copy_(state[name])
