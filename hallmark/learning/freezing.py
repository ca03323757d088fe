"""A pretrained network held still while its new head learns: else the head's first gradients would spoil it."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from torch.nn.modules.batchnorm import _BatchNorm

from hallmark.models import transfer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn


@final
class Freezing:
    """Everything of a network but its head, to be frozen and thawed.

    Frozen weights get no gradients, which also saves most of the backward pass; frozen batch norms use the statistics
    they came with and keep them.
    """

    def __init__(self, network: nn.Module) -> None:
        *below, _ = transfer.layers(network)
        self._parameters: Sequence[nn.Parameter] = [parameter for layer in below for parameter in layer]
        self._norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]

    def apply(self, *, frozen: bool) -> None:
        """To be called before each step: whoever evaluates the network in between puts it back into training mode."""
        if self._parameters and self._parameters[0].requires_grad == frozen:
            for parameter in self._parameters:
                parameter.requires_grad_(not frozen)
                parameter.grad = None
        for norm in self._norms:
            norm.train(not frozen)
