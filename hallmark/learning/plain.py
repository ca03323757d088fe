"""What Lightning Fabric does for a training, where nothing of it is needed: on a CPU, in fp32 or bf16."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn


@final
class Plain:
    """The part of Fabric's interface that trainings use; Fabric's import alone takes as long as torch's."""

    def __init__(self, precision: str) -> None:
        self._short = precision == "bf16"

    def setup_module(self, network: nn.Module) -> nn.Module:
        """As it is: it is where it should be."""
        return network

    def autocast(self) -> torch.autocast:
        """A block whose products are in the training's precision, for the thread that enters it."""
        # no weight is used twice in a pass, and the cache is one for all threads
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=self._short, cache_enabled=False)

    def backward(self, loss: Tensor) -> None:
        """The gradients of the loss."""
        loss.backward()  # type: ignore[no-untyped-call]
