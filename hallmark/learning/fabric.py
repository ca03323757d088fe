"""Lightning Fabric for a training: device, precision and the synchronisation of several processes.

A single process on a CPU needs none of it but autocast, and importing Fabric takes longer than importing torch:
:class:`SingleCpu` has the part of Fabric's interface that trainings use. See
docs/decisions/0010-fabric-where-it-does-the-work.md.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, final

import torch

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from torch import Tensor, nn

    from hallmark.learning.devices import Machine

PRECISIONS = {"fp32": "32-true", "tf32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


@final
class SingleCpu:
    """One process on a CPU, in fp32 or bf16."""

    global_rank, world_size = 0, 1

    def __init__(self, precision: str) -> None:
        self._bf16 = precision == "bf16"

    def setup_module(self, network: nn.Module) -> nn.Module:
        """The network as it is."""
        return network

    def autocast(self) -> torch.autocast:
        """A block whose products are in the training's precision, for the thread that enters it."""
        # no weight is used twice in a pass, and the cache is one for all threads
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=self._bf16, cache_enabled=False)

    def backward(self, loss: Tensor) -> None:
        """The gradients of the loss."""
        loss.backward()  # type: ignore[no-untyped-call]

    def no_backward_sync(self, network: nn.Module, *, enabled: bool) -> AbstractContextManager[None]:
        """A block without effect: there is no other process."""
        return nullcontext()

    def all_reduce(self, tensor: Tensor, *, reduce_op: str) -> Tensor:
        """The tensor itself."""
        return tensor


def build(machine: Machine, scaler: torch.amp.GradScaler | None = None) -> Any:
    """Fabric, or :class:`SingleCpu`, for this process alone. ``scaler`` scales the losses of fp16."""
    if machine.device.type == "cpu" and scaler is None:
        return SingleCpu(machine.precision)
    device = machine.device
    return _launched(machine, scaler, devices=[device.index] if device.type == "cuda" else 1)


def join(machine: Machine, rank: int, scaler: torch.amp.GradScaler | None = None) -> Any:
    """Fabric for process ``rank`` of ``machine.processes``, whose process group is initialised already."""
    from hallmark.learning.ddp import CpuBf16, strategy

    size = machine.processes
    devices = list(range(size)) if machine.device.type == "cuda" else size
    arguments: dict[str, Any] = {"devices": devices, "strategy": strategy(rank, size)}
    if machine.device.type == "cpu" and machine.precision == "bf16":
        arguments["plugins"] = [CpuBf16()]
    return _launched(machine, scaler, **arguments)


def _launched(machine: Machine, scaler: torch.amp.GradScaler | None, **arguments: Any) -> Any:
    from lightning_fabric import Fabric
    from lightning_fabric.plugins import MixedPrecision

    kind = machine.device.type
    if scaler is not None:
        arguments["plugins"] = [MixedPrecision(precision="16-mixed", device=kind, scaler=scaler)]
    elif "plugins" not in arguments:
        arguments["precision"] = PRECISIONS[machine.precision]
    fabric = Fabric(accelerator=kind, **arguments)
    fabric.launch()
    return fabric
