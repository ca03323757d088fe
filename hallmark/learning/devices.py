"""The device that training runs on, and the precision, memory format and threads that it is fast in."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from hallmark.contracts import runtime
from hallmark.contracts.errors import InputError, MachineError

if TYPE_CHECKING:
    from collections.abc import Iterator

WORTH_THREADS = 200_000_000  # multiplications in a batch's forward pass
REPLICAS = 2  # on any CPU, since batch norms see a replica's part of the batch
LEAST = 16  # images of such a part


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What of the machine the weights depend on: the device, the precision (fp32, tf32, bf16, fp16), threads a kernel,
    processes (see :mod:`hallmark.learning.distributed`), replicas (see :mod:`hallmark.learning.replicas`).
    """

    device: torch.device
    precision: str
    threads: int
    processes: int = 1
    replicas: int = 1
    replica_threads: int = 1  # replicas at a time, which changes nothing

    def facts(self) -> dict[str, object]:
        """As plain values, with the version of torch: a training is taken up by its like alone."""
        facts = {"device": self.device.type, "precision": self.precision, "threads": self.threads}
        several = {"processes": self.processes, "replicas": self.replicas}
        return {**facts, **{name: n for name, n in several.items() if n > 1}, "torch": torch.__version__}


def machine(requested: str, network: nn.Module, shape: tuple[int, int, int, int], *, compiled: bool = False) -> Machine:
    """For a precision (or ``auto``), a network on the CPU, to be compiled or not, and batches [b, c, h, w]."""
    device, count = select_device(), runtime.processes()
    if (device.type == "mps" and count > 1) or (device.type == "cuda" and count > torch.cuda.device_count()):
        raise MachineError(
            f"{runtime.PROCESSES} is {count}, but each process needs a device of its own, and there are "
            f"{torch.cuda.device_count() if device.type == 'cuda' else 1}",
            remedy="lower it",
        )
    chosen = select_precision(requested, device)
    by_itself = requested == "auto" and device.type == "cpu" and chosen != "fp32"
    if by_itself and (multiplications(network, shape) < WORTH_THREADS or is_depthwise(network)):
        chosen = "fp32"  # the casts cost what the multiplications save
    shared = max(1, threads(network, shape) // count)
    replicas = 1
    large = multiplications(network, shape) >= WORTH_THREADS
    # DistributedDataParallel synchronises the gradients of one network a process
    if count == 1 and device.type == "cpu" and large and not compiled and not draws(network):
        replicas = max(1, min(REPLICAS, shape[0] // LEAST))
    each = max(1, shared // replicas)
    return Machine(
        device=device,
        precision=chosen,
        threads=each,
        processes=count,
        replicas=replicas,
        replica_threads=min(replicas, shared),
    )


def select_device() -> torch.device:
    """The device named by HALLMARK_DEVICE, else the best available. Raises MachineError if it is unavailable."""
    requested = runtime.device()
    if requested == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(requested)
    except RuntimeError as error:
        raise InputError(f"{runtime.DEVICE} is '{requested}'", remedy="give cpu, cuda, mps or auto") from error
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(chosen.type, False):
        raise MachineError(
            f"{runtime.DEVICE} is '{requested}', but there is no such device here", remedy="set it to auto"
        )
    return torch.device("cuda", chosen.index or 0) if chosen.type == "cuda" else chosen


def select_precision(requested: str, device: torch.device) -> str:
    """fp32, tf32, bf16 or fp16. ``auto`` takes bf16 where the device multiplies it faster.

    That is a recent GPU, and a CPU with AMX or AVX-512's bf16 instructions (1.5 to 1.9 times the convolutions of fp32).
    """
    if requested == "auto":
        if device.type == "cuda":
            return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp32"
        faster = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
        return "bf16" if device.type == "cpu" and faster else "fp32"
    if requested == "fp16" and device.type != "cuda":
        raise InputError(f"fp16 needs a CUDA device, not {device.type}", remedy="use auto", field="precision")
    if requested == "tf32" and (device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 0)):
        raise InputError("only recent NVIDIA GPUs have tf32", remedy="use auto", field="precision")
    return requested


def memory_format(network: nn.Module, machine: Machine) -> torch.memory_format:
    """Channels last, the faster format for convolutions, if the device and torch support it.

    On a CPU torch 2.13 writes past its memory in the fp32 backward pass of a strided 1 x 1 convolution of fewer than 16
    channels laid out so.
    """
    if machine.device.type == "mps":
        return torch.contiguous_format
    narrow = any(
        isinstance(each, nn.Conv2d) and max(each.kernel_size) == 1 < max(each.stride) and each.in_channels < 16
        for each in network.modules()
    )
    return torch.contiguous_format if narrow and machine.device.type == "cpu" else torch.channels_last


def is_depthwise(network: nn.Module) -> bool:
    """Whether it has convolutions of one channel each, which a CPU does not compute faster in 16 bits."""
    return any(isinstance(each, nn.Conv2d) and each.groups > 1 for each in network.modules())


def draws(network: nn.Module) -> bool:
    """Whether it may draw random numbers in training, which it does from a generator that all threads share."""
    ours = ("torch.nn.", "hallmark.", "einops.")
    for module in network.modules():
        if not type(module).__module__.startswith(ours):
            return True
        chances = (getattr(module, name, 0.0) for name in ("p", "rate", "dropout"))
        if any(isinstance(chance, float) and chance > 0 for chance in chances):
            return True
    return False


def threads(network: nn.Module, shape: tuple[int, int, int, int]) -> int:
    """Threads of a CPU kernel for batches of that shape: OMP_NUM_THREADS, else all usable cores, or one for small work.

    How sums are shared out rounds them, so the number follows from the network alone, never from the load: kernels of
    a few microseconds on several threads wait for each other, ten times as long where the machine has other work.
    """
    omp = os.environ.get("OMP_NUM_THREADS", "")
    if omp.isdigit() and int(omp) > 0:
        return int(omp)
    if multiplications(network, shape) < WORTH_THREADS:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def multiplications(network: nn.Module, shape: tuple[int, int, int, int]) -> int:
    """Multiplications of convolutions and linear layers in one forward pass of a batch [b, c, h, w]."""
    counts: list[int] = []

    def hook(module: nn.Module, _: Any, out: torch.Tensor) -> None:
        weight = module.weight
        assert isinstance(weight, torch.Tensor)
        counts.append(out.numel() * weight[0].numel())

    handles = [
        module.register_forward_hook(hook) for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, *shape[1:]))
    finally:
        network.train(training)
        for handle in handles:
            handle.remove()
    return sum(counts) * shape[0]


@contextmanager
def settled(machine: Machine, *, deterministic: bool) -> Iterator[None]:
    """Runs the block with its own torch generators, thread count and determinism, and restores the previous ones."""
    device, before = machine.device, torch.get_num_threads()
    strict, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    cudnn = torch.backends.cudnn.benchmark
    matmul, convolution = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    cuda = [device.index] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.set_num_threads(machine.threads)
        # by default torch takes TF32 for convolutions alone: fp32 means fp32 here
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = machine.precision != "fp32"
        if device.type == "cuda":
            # cuBLAS reads it when its first handle is made
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(deterministic)
            torch.backends.cudnn.benchmark = not deterministic
        try:
            yield
        finally:
            torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matmul, convolution
            torch.use_deterministic_algorithms(strict, warn_only=warn_only)
            torch.backends.cudnn.benchmark = cudnn
            torch.set_num_threads(before)


def reseed(device: torch.device, seed: int) -> None:
    """Seeds the generators of dropout and stochastic depth; only within :func:`settled`."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index].manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def peak_memory(device: torch.device) -> int | None:
    """Bytes of device memory taken at most so far; None on the CPU, whose peak the executor notes."""
    return int(torch.cuda.max_memory_allocated(device)) if device.type == "cuda" else None


def free_memory(device: torch.device) -> int:
    """Bytes still available for training on the device; on the CPU, within the limits of the control group."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    import psutil

    free = int(psutil.virtual_memory().available)
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.is_file() and used.is_file() and (most := limit.read_text().strip()).isdigit():
        free = min(free, int(most) - int(used.read_text()))
    return max(0, free)
