"""Fabric's strategy for DistributedDataParallel (Li et al. 2020) in processes that run already.

Fabric's own launchers start the program again or move the training into a child process; a stage of a flow can have
neither. Imported only where several processes train: Fabric takes longer to import than torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import torch
from lightning_fabric.plugins import Precision
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from torch.nn.parallel import DistributedDataParallel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor, nn


@final
class _RunningProcesses(ClusterEnvironment):
    """Processes ``rank`` of ``size`` on one machine, whose process group is initialised already."""

    def __init__(self, rank: int, size: int) -> None:
        super().__init__()
        self._rank, self._size = rank, size

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return "127.0.0.1"

    @property
    def main_port(self) -> int:
        raise AssertionError("the process group meets in a file, not at a port")

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self._size

    def set_world_size(self, size: int) -> None:
        assert size == self._size, (size, self._size)

    def global_rank(self) -> int:
        return self._rank

    def set_global_rank(self, rank: int) -> None:
        assert rank == self._rank, (rank, self._rank)

    def local_rank(self) -> int:
        return self._rank

    def node_rank(self) -> int:
        return 0


@final
class CpuBf16(Precision):
    """bf16 as :class:`hallmark.learning.fabric.SingleCpu` has it: MixedPrecision would round the images as well."""

    precision = "bf16-mixed"

    def forward_context(self) -> torch.autocast:
        return torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False)


@final
class _Joined(DDPStrategy):
    """Without a launcher, which would also set the number of threads of this process."""

    def _configure_launcher(self) -> None:
        self._launcher = None


def strategy(rank: int, size: int) -> DDPStrategy:
    """The strategy of process ``rank`` of ``size``. Batch norms keep statistics of their own: only rank 0's count."""
    return _Joined(cluster_environment=_RunningProcesses(rank, size), forward_sync_buffers=False)


def leave_out_unused(network: nn.Module, images: Tensor, *, penalised: Iterable[nn.Parameter]) -> None:
    """Keeps DistributedDataParallel from waiting for gradients of weights that do not affect the logits.

    A pretrained network may have some, such as dinov2's token for masked patches. ``images`` [b, c, h, w] are on the
    network's device; ``penalised`` weights have gradients all the same, from the loss.
    """
    training = network.training
    named = [(name, each) for name, each in network.named_parameters() if each.requires_grad]
    # past __call__, which would compile the network for this
    logits: Tensor = network.eval().forward(images)
    gradients: tuple[Tensor | None, ...] = torch.autograd.grad(
        logits.sum(), [each for _, each in named], allow_unused=True
    )
    network.train(training)
    needed = {id(each) for each in penalised}
    unused = [
        name for (name, each), grad in zip(named, gradients, strict=True) if grad is None and id(each) not in needed
    ]
    # DistributedDataParallel spells a weight of the network itself both with and without a dot before it
    names = [*unused, *(f".{name}" for name in unused if "." not in name)]
    wrapper: Any = DistributedDataParallel
    wrapper._set_params_and_buffers_to_ignore_for_model(network, names)
