"""Data parallelism within one process on a CPU: each replica takes a part of every batch, in a thread of its own.

Small kernels gain little from several threads each, since they start and end together; replicas synchronise once a
step. With two threads a kernel, a third of two cores is idle at 28 pixels; two replicas keep both busy and take a fifth
less time. Each replica has its own gradients, which are summed in a fixed order, so that the scheduling of the threads
changes nothing. Batch norm sees a replica's part (ghost batches, Hoffer et al. 2017), so the number of replicas follows
from the network and the batch, never from the machine; its running statistics are the mean over the replicas.
"""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar, final

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor

T = TypeVar("T")
R = TypeVar("R")


@final
class Replicas:
    """``count`` copies of a network with the same weights, one of which is the network itself.

    Each has its own gradients and its own buffers. How many ``threads`` work changes nothing; they end
    with this object.
    """

    def __init__(self, network: nn.Module, count: int, *, threads: int) -> None:
        self.networks = [network, *(copy.deepcopy(network) for _ in range(count - 1))]
        self._parameters = [list(each.parameters()) for each in self.networks]
        for others in self._parameters[1:]:
            for mine, theirs in zip(self._parameters[0], others, strict=True):
                theirs.data = mine.data  # changed in place from now on, by the optimisers and when a state is loaded
        self._buffers = [_running(each) for each in self.networks]
        # every thread has its own number of threads a kernel, and takes it when it starts
        kernel = torch.get_num_threads()
        several = min(count, threads) > 1
        self._pool = ThreadPoolExecutor(threads, "replica", torch.set_num_threads, (kernel,)) if several else None

    def __len__(self) -> int:
        return len(self.networks)

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """The function of every item, as many at once as there are threads, in the order of the items."""
        if self._pool is None:
            return [function(item) for item in items]
        return list(self._pool.map(function, items))

    def parts(self, *tensors: Tensor) -> list[tuple[Tensor, ...]]:
        """The tensors' rows, one part a replica: fewer parts where there are fewer rows."""
        if len(self) == 1:
            return [tensors]
        return list(zip(*(torch.tensor_split(each, min(len(self), len(each))) for each in tensors), strict=True))

    @torch.no_grad()
    def gather(self) -> None:
        """Adds the gradients of all replicas up in the network, and gives all replicas the mean of their buffers."""
        if len(self) == 1:
            return
        mine = self._parameters[0]
        for others in self._parameters[1:]:
            pairs = [(own, each) for own, each in zip(mine, others, strict=True) if each.grad is not None]
            for own, _ in pairs:
                if own.grad is None:
                    own.grad = torch.zeros_like(own)
            sums: list[Any] = [own.grad for own, _ in pairs]
            added: list[Any] = [each.grad for _, each in pairs]
            torch._foreach_add_(sums, added)
            for each in others:
                each.grad = None
        if self._buffers[0]:
            torch._foreach_mul_(self._buffers[0], 1 / len(self))
            for buffers in self._buffers[1:]:
                torch._foreach_add_(self._buffers[0], buffers, alpha=1 / len(self))
            self.spread()

    @torch.no_grad()
    def spread(self) -> None:
        """Gives all replicas the network's buffers, as is needed when a state was loaded."""
        for buffers in self._buffers[1:]:
            if buffers:
                torch._foreach_copy_(buffers, self._buffers[0])


def _running(network: nn.Module) -> list[Tensor]:
    """The running statistics of its batch norms."""
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    statistics = [each for norm in norms for each in (norm.running_mean, norm.running_var)]
    return [each for each in statistics if isinstance(each, torch.Tensor)]
