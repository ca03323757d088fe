"""The parts of a pretrained network that do not learn, in all steps or in the first ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from torch.nn.modules.batchnorm import _BatchNorm

from hallmark.models import transfer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn


@final
class Freezing:
    """Keeps the first ``layers`` layers of a network as they are, and where asked everything but its head.

    Frozen weights get no gradients, which also saves their backward pass; frozen batch norms use the statistics they
    came with and keep them. ``norms``: all batch norms keep their statistics in every step.
    """

    def __init__(self, network: nn.Module, *, layers: int = 0, norms: bool = False) -> None:
        *below, _ = transfer.layers(network)
        for parameter in _parameters(below[:layers]):
            parameter.requires_grad_(False)
        self._thawed = _parameters(below[layers:])
        still = {id(parameter) for parameter in _parameters(below[:layers])}
        self._norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
        self._kept = [norm for norm in self._norms if norms or id(norm.weight) in still]

    def apply(self, *, frozen: bool) -> None:
        """Sets up a step; ``frozen``: the head alone learns.

        To be called before each step: whoever evaluates the network in between puts it back into training mode.
        """
        if self._thawed and self._thawed[0].requires_grad == frozen:
            for parameter in self._thawed:
                parameter.requires_grad_(not frozen)
                parameter.grad = None
        for norm in self._norms:
            norm.train(not frozen)
        for norm in self._kept:
            norm.eval()


def _parameters(layers: Sequence[Sequence[nn.Parameter]]) -> list[nn.Parameter]:
    return [parameter for layer in layers for parameter in layer]
