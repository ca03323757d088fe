"""What Lightning Fabric does for a training, where nothing of it is needed: on a CPU, in fp32 or bf16."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer


@final
class Plain:
    """The part of Fabric's interface that trainings use; Fabric's import alone takes as long as torch's."""

    def __init__(self, precision: str) -> None:
        self._short = precision == "bf16"

    def setup(self, network: nn.Module, *optimizers: Optimizer) -> list[Any]:
        """As they are: they are where they should be."""
        return [network, *optimizers]

    def autocast(self) -> torch.autocast:
        """A block whose products are in the training's precision, for the thread that enters it."""
        # no weight is used twice in a pass, and the cache is one for all threads
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=self._short, cache_enabled=False)

    def backward(self, loss: Tensor) -> None:
        """The gradients of the loss."""
        loss.backward()  # type: ignore[no-untyped-call]

    def clip_gradients(
        self,
        network: nn.Module,
        optimizer: Optimizer,
        *,
        max_norm: float | None = None,
        clip_val: float | None = None,
        error_if_nonfinite: bool = False,
    ) -> Tensor | None:
        """Clips the gradients of the optimiser's parameters, by their norm, which is given back, or by value."""
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        if clip_val is not None:
            nn.utils.clip_grad_value_(parameters, clip_val)
            return None
        assert max_norm is not None
        return nn.utils.clip_grad_norm_(parameters, max_norm, error_if_nonfinite=error_if_nonfinite)
