"""Training in several processes, each with a device of its own: DistributedDataParallel through Lightning Fabric.

The calling process is rank 0: it alone validates, keeps checkpoints, logs, and broadcasts each step to the workers. The
batches are those of a single process, so the weights differ from its own by rounding alone, except that batch norm sees
smaller batches, and dropout draws otherwise.
"""

from __future__ import annotations

import copy
import dataclasses
import multiprocessing
import tempfile
import time
import warnings
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.distributed as dist

from hallmark.contracts import require, runtime
from hallmark.contracts.errors import MachineError
from hallmark.contracts.processes import leave_signals_to_the_parent
from hallmark.learning import batches as loading
from hallmark.learning import devices
from hallmark.learning.train_step import TrainStep

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.process import BaseProcess

    from torch import nn

    from hallmark.learning.devices import Machine
    from hallmark.learning.plan import TrainingPlan

TIMEOUT = timedelta(minutes=30)  # the workers wait so long while rank 0 validates


class Command(NamedTuple):
    """One step, as rank 0 broadcasts it."""

    step: int
    batches: int
    lr: float
    momentum: float
    frozen: bool


class Start(NamedTuple):
    """Where a worker resumes: the train step's state, (epoch, batch), loader processes, images on the device or not."""

    state: dict[str, Any]
    position: tuple[int, int]
    loaders: int
    resident: bool


@contextmanager
def launched(train_step: TrainStep, plan: TrainingPlan) -> Iterator[None]:
    """A block in which ``train_step`` trains as rank 0 of ``plan.machine.processes``; the workers end with the block.

    Raises InputError where a batch has too few images to share, MachineError where a worker dies.
    """
    size = plan.machine.processes
    if size == 1:
        yield
        return
    _check_batches(plan)
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "store")
        workers = _start(train_step.network, plan, store)
        try:
            _await(workers, store)
            _init_process_group(0, store, plan.machine)
            train_step.join(0)
            with _quiet():
                yield
            train_step.fabric.broadcast(None)
            for process in workers:
                process.join(timeout=60)
        except RuntimeError as error:  # of gloo and of NCCL, and much else
            if not any(_has_ended(process) for process in workers):
                raise
            raise _gone(str(error).partition("\n")[0]) from error
        finally:
            if dist.is_initialized():
                dist.destroy_process_group()
            for process in workers:  # after an error here they would wait for commands forever
                process.kill()
                process.join()


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides the warning about other strides of single-channel gradients, whose layout is the same."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
        yield


def _check_batches(plan: TrainingPlan) -> None:
    size = plan.machine.processes
    least = min(plan.resolved.batch_size, plan.batches.images_per_epoch // plan.batches.per_epoch)
    require.that(
        least >= 2 * size,
        f"is {plan.resolved.batch_size}: batches of {least} images cannot be shared among {size} processes",
        remedy=f"give {4 * size} or more, or set {runtime.PROCESSES} to 1",
        field="batch_size",
    )


def _start(network: nn.Module, plan: TrainingPlan, store: str) -> list[BaseProcess]:
    context = multiprocessing.get_context("spawn")
    network = copy.deepcopy(network).cpu()
    workers: list[BaseProcess] = [
        context.Process(target=_work, args=(rank, store, network, plan)) for rank in range(1, plan.machine.processes)
    ]
    for process in workers:
        process.start()
    return workers


def _await(workers: Sequence[BaseProcess], store: str) -> None:
    """Until all workers are about to join: for one that has ended, joining would wait until TIMEOUT ends."""
    while not all(_arrival(store, rank).exists() for rank, _ in enumerate(workers, 1)):
        for process in workers:
            if not process.is_alive():
                raise _gone(f"it ended at its start with exit code {process.exitcode}")
        time.sleep(0.01)


def _arrival(store: str, rank: int) -> Path:
    return Path(f"{store}-{rank}")


def _has_ended(process: BaseProcess) -> bool:
    process.join(timeout=1)  # its connections end a little before it does
    return not process.is_alive()


def _gone(why: str) -> MachineError:
    return MachineError(
        f"another process of the training is gone ({why})",
        remedy="see its message above; it may have run out of memory",
    )


def _init_process_group(rank: int, path: str, machine: Machine) -> None:
    """By a file: Fabric would choose a port, which another program may take first."""
    size, backend = machine.processes, "nccl" if machine.device.type == "cuda" else "gloo"
    store: Any = dist.FileStore(path, size)  # type: ignore[attr-defined]
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=TIMEOUT)


def _work(rank: int, store: str, network: nn.Module, plan: TrainingPlan) -> None:
    """A worker's whole life: rank 0's state, then the steps it commands."""
    leave_signals_to_the_parent()
    runtime.prepare()
    machine = plan.machine
    if machine.device.type == "cuda":
        torch.cuda.set_device(rank)
        machine = dataclasses.replace(machine, device=torch.device("cuda", rank))
        plan = dataclasses.replace(plan, machine=machine)
    _arrival(store, rank).touch()
    _init_process_group(rank, store, machine)
    with _quiet(), devices.settled(machine, deterministic=plan.recipe.deterministic):
        train_step = TrainStep(network, plan)
        train_step.join(rank)
        train_step.network.train()
        start: Start = train_step.fabric.broadcast(None)
        train_step.restore(start.state)
        if start.resident:
            plan.batches.reside(machine.device)
        stream = loading.stream(
            plan.batches,
            start=start.position,
            epochs=plan.resolved.epochs,
            processes=start.loaders,
            waiting=loading.Waiting(),
        )
        while (command := train_step.fabric.broadcast(None)) is not None:
            batches = [next(stream) for _ in range(command.batches)]
            train_step.run(batches, step=command.step, lr=command.lr, momentum=command.momentum, frozen=command.frozen)
    dist.destroy_process_group()
