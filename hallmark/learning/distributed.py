"""Training on several devices or processes at once: each takes its share of every batch, and gradients are averaged.

The process that called leads: it alone validates, keeps checkpoints, logs, and tells the others each step to take. The
batches are those of a single process, so the weights differ from its own by rounding alone, except that batch norm sees
smaller batches, and dropout draws otherwise. The gradients go around once a step, in one piece per type, however many
batches the step adds up.
"""

from __future__ import annotations

import copy
import dataclasses
import multiprocessing
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, final

import torch
from torch import Tensor, distributed, nn

from hallmark.contracts import runtime
from hallmark.contracts.errors import InputError, MachineError
from hallmark.contracts.processes import leave_signals_to_the_parent
from hallmark.learning import batches as loading
from hallmark.learning import devices
from hallmark.learning.batches import Batch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from multiprocessing.process import BaseProcess

    from hallmark.learning.batches import Batches
    from hallmark.learning.devices import Machine
    from hallmark.learning.losses import Loss
    from hallmark.learning.recipe import Recipe, Resolved

PATIENCE = timedelta(minutes=30)  # the others wait so long while the leader validates


class Order(NamedTuple):
    """One step, as the leader tells it; ``step`` below 0 is the end."""

    step: int
    batches: int
    rate: float
    momentum: float
    frozen: bool


END = Order(-1, 0, 0.0, 0.0, False)


@final
class ProcessGroup:
    """The processes of a training as one of them sees it; alone it does nothing, at no cost."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    def share(self, batch: Batch) -> tuple[Batch, float]:
        """This process's rows of a batch, and what its loss, a mean over them, counts in the mean over the batch."""
        if self.size == 1:
            return batch, 1.0
        mine = Batch(*(part[self.rank :: self.size] for part in batch))
        return mine, float(mine.weights.sum() / batch.weights.sum().clamp_min(1e-12))

    def seeds(self) -> tuple[int, ...]:
        """What dropout's seed has besides the step: nothing in the leader, who draws as a process alone does."""
        return (self.rank,) if self.rank else ()

    @torch.no_grad()
    def add_up(self, tensors: Iterable[Tensor | None]) -> None:
        """Replaces each tensor by its sum over all processes."""
        if self.size == 1:
            return
        kinds: dict[torch.dtype, list[Tensor]] = {}
        for tensor in tensors:
            if tensor is not None:
                kinds.setdefault(tensor.dtype, []).append(tensor)
        for each in kinds.values():
            flat = torch.cat([tensor.reshape(-1) for tensor in each])
            distributed.all_reduce(flat)
            for tensor, part in zip(each, torch.split(flat, [tensor.numel() for tensor in each]), strict=True):
                tensor.copy_(part.view_as(tensor))

    def order(self, order: Order = END) -> Order:
        """From the leader: tells the others; in the others: what they are told."""
        if self.size == 1:
            return order
        told = torch.tensor([float(value) for value in order], dtype=torch.float64, device=self._where())
        distributed.broadcast(told, src=0)
        step, batches, rate, momentum, frozen = told.tolist()
        return Order(int(step), int(batches), rate, momentum, bool(frozen))

    def same(self, state: Mapping[str, Any] | None) -> Any:
        """The leader's value, in every process."""
        if self.size == 1:
            return state
        held: list[Any] = [state]
        distributed.broadcast_object_list(held, src=0, device=self._where())
        return held[0]

    def _where(self) -> torch.device:
        return torch.device("cuda", self.rank) if distributed.get_backend() == "nccl" else torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Work:
    """What every process of a team needs for its part; the network without its weights' history."""

    network: nn.Module
    batches: Batches
    recipe: Recipe
    resolved: Resolved
    loss: Loss
    classes: int
    seed: int
    machine: Machine


@contextmanager
def formed(work: Work) -> Iterator[ProcessGroup]:
    """The team of ``work.machine.processes``, of which this process leads; the others end with the block.

    Raises InputError where a batch has too few images to share, MachineError where another process dies.
    """
    size = work.machine.processes
    if size == 1:
        yield ProcessGroup()
        return
    least = min(work.resolved.batch_size, work.batches.shown // work.batches.per_epoch)
    if least < 2 * size:
        raise InputError(
            f"train.batch_size is {work.resolved.batch_size}: batches of {least} images cannot be shared among "
            f"{size} processes",
            remedy=f"give {4 * size} or more, or set {runtime.PROCESSES} to 1",
        )
    context = multiprocessing.get_context("spawn")
    work = dataclasses.replace(work, network=copy.deepcopy(work.network).cpu())
    with tempfile.TemporaryDirectory() as folder:
        meeting = str(Path(folder) / "meeting")
        others = [context.Process(target=_follow, args=(rank, size, meeting, work)) for rank in range(1, size)]
        for process in others:
            process.start()
        try:
            _await(others, meeting)
            _join(0, size, meeting, work.machine)
            team = ProcessGroup(0, size)
            yield team
            team.order()
            for process in others:
                process.join(timeout=60)
        except RuntimeError as error:  # of gloo and of NCCL, and much else
            if not any(_has_ended(process) for process in others):
                raise
            raise _gone(str(error).partition("\n")[0]) from error
        finally:
            if distributed.is_initialized():
                distributed.destroy_process_group()
            for process in others:  # after an error here they wait for orders that never come
                process.kill()
                process.join()


def _await(others: Sequence[BaseProcess], meeting: str) -> None:
    """Until all others are about to join: for one that has ended, joining would wait until PATIENCE ends."""
    while not all(_arrival(meeting, rank).exists() for rank, _ in enumerate(others, 1)):
        for process in others:
            if not process.is_alive():
                raise _gone(f"it ended at its start with exit code {process.exitcode}")
        time.sleep(0.01)


def _arrival(meeting: str, rank: int) -> Path:
    return Path(f"{meeting}-{rank}")


def _has_ended(process: BaseProcess) -> bool:
    process.join(timeout=1)  # its connections end a little before it does
    return not process.is_alive()


def _gone(why: str) -> MachineError:
    return MachineError(
        f"another process of the training is gone ({why})",
        remedy="look above for its own message; its memory may have run out",
    )


def _join(rank: int, size: int, meeting: str, machine: Machine) -> None:
    backend = "nccl" if machine.device.type == "cuda" else "gloo"
    store: Any = distributed.FileStore(meeting, size)  # type: ignore[attr-defined]
    distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)


def _follow(rank: int, size: int, meeting: str, work: Work) -> None:
    """Another process's whole life: the leader's state, then the steps it orders."""
    from hallmark.learning.train_step import TrainStep

    leave_signals_to_the_parent()
    runtime.prepare()
    machine = work.machine
    if machine.device.type == "cuda":
        torch.cuda.set_device(rank)
        machine = dataclasses.replace(machine, device=torch.device("cuda", rank))
    _arrival(meeting, rank).touch()
    _join(rank, size, meeting, machine)
    team = ProcessGroup(rank, size)
    with devices.settled(machine, deterministic=work.recipe.deterministic):
        train_step = TrainStep(
            work.network,
            recipe=work.recipe,
            resolved=work.resolved,
            loss=work.loss,
            classes=work.classes,
            seed=work.seed,
            machine=machine,
            team=team,
        )
        train_step.network.train()
        begun = team.same(None)
        train_step.restore(begun["train_step"])
        epoch, number = begun["start"]
        if begun["resident"]:
            work.batches.reside(machine.device)
        stream = loading.stream(
            work.batches,
            start=(epoch, number),
            epochs=work.resolved.epochs,
            processes=begun["loaders"],
            waiting=loading.Waiting(),
        )
        while (order := team.order()).step >= 0:
            group = [next(stream) for _ in range(order.batches)]
            train_step.take(group, step=order.step, rate=order.rate, momentum=order.momentum, frozen=order.frozen)
    distributed.destroy_process_group()
