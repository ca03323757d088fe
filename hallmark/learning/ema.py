"""An exponential moving average of the weights, which generalises better than the last step's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping


class Ema:
    """Follows a network's parameters and floating-point buffers; counters are copied. ``decay`` 0 follows at once."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {name: value.detach().clone() for name, value in network.state_dict().items()}
        self._floats = [name for name, value in self.state.items() if value.is_floating_point()]
        self._mine = [self.state[name] for name in self._floats]
        self._followed: tuple[nn.Module, list[Tensor], list[tuple[Tensor, Tensor]]] | None = None

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Takes the weights after ``step`` (from 0); it reaches back over a twentieth of the steps so far at most."""
        if self._followed is None or self._followed[0] is not network:
            # a network's tensors are changed in place: they are looked up once, which else takes 4 % of a small step
            live = network.state_dict()
            others = [(value, live[name]) for name, value in self.state.items() if not value.is_floating_point()]
            self._followed = (network, [live[name].detach() for name in self._floats], others)
        _, floats, counters = self._followed
        decay = min(self.decay, (1 + step) / (20 + step))
        torch._foreach_lerp_(self._mine, floats, 1 - decay)
        for mine, theirs in counters:
            mine.copy_(theirs)

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Takes up a saved state."""
        for name, value in self.state.items():
            value.copy_(state[name])
