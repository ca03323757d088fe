"""Where training runs, in which precision and memory format: what the device does well.

Lightning Fabric is imported without torchmetrics: Fabric asks that package for nothing but its version, by importing
it, and the import takes longer than torch's own. See docs/decisions/0003-fabric-and-a-loop-of-our-own.md.
"""

from __future__ import annotations

import importlib.machinery
import importlib.metadata
import os
import sys
import types
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from hallmark.contracts import runtime
from hallmark.contracts.errors import InputError, MachineError
from hallmark.learning.plain import Plain

if TYPE_CHECKING:
    from collections.abc import Iterator

WORDS = {"fp32": "32-true", "tf32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
WORTH_THREADS = 200_000_000  # multiplications in a batch's forward pass
REPLICAS, LEAST = (
    2,
    16,
)  # parts of a batch on a CPU, whatever it is: batch norms see a part; and the fewest images of one


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


def machine(asked: str, network: nn.Module, shape: tuple[int, int, int, int], *, compiled: bool = False) -> Machine:
    """For a precision (or ``auto``), a network on the CPU, to be compiled or not, and batches [b, c, h, w]."""
    where, count = device(), runtime.processes()
    if (where.type == "mps" and count > 1) or (where.type == "cuda" and count > torch.cuda.device_count()):
        raise MachineError(
            f"{runtime.PROCESSES} is {count}, but each process needs a device of its own, and there are "
            f"{torch.cuda.device_count() if where.type == 'cuda' else 1}",
            remedy="lower it",
        )
    chosen = precision(asked, where)
    by_itself = asked == "auto" and where.type == "cpu" and chosen != "fp32"
    if by_itself and multiplications(network, shape) < WORTH_THREADS:
        chosen = "fp32"  # the casts take what the multiplications save
    shared = max(1, threads(network, shape) // count)
    replicas = 1
    large = multiplications(network, shape) >= WORTH_THREADS
    if where.type == "cpu" and large and not compiled and not draws(network):
        replicas = max(1, min(REPLICAS, shape[0] // count // LEAST))
    each = max(1, shared // replicas)
    return Machine(
        device=where,
        precision=chosen,
        threads=each,
        processes=count,
        replicas=replicas,
        replica_threads=min(replicas, shared),
    )


def device() -> torch.device:
    """The device asked for by HALLMARK_DEVICE, else the best there is. Raises MachineError where it is not there."""
    asked = runtime.device()
    if asked == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(asked)
    except RuntimeError as error:
        raise InputError(f"{runtime.DEVICE} is '{asked}'", remedy="give cpu, cuda, mps or auto") from error
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(chosen.type, False):
        raise MachineError(f"{runtime.DEVICE} is '{asked}', but there is no such device here", remedy="set it to auto")
    return torch.device("cuda", chosen.index or 0) if chosen.type == "cuda" else chosen


def precision(asked: str, where: torch.device) -> str:
    """fp32, tf32, bf16 or fp16. ``auto`` takes bf16 where the device multiplies it faster.

    That is a recent GPU, and a CPU with AMX or AVX-512's bf16 instructions (1.5 to 1.9 times the convolutions of fp32).
    """
    if asked == "auto":
        if where.type == "cuda":
            return "bf16" if torch.cuda.get_device_capability(where) >= (8, 0) else "fp32"
        faster = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
        return "bf16" if where.type == "cpu" and faster else "fp32"
    if asked == "fp16" and where.type != "cuda":
        raise InputError(f"train.precision is fp16, which trains on CUDA alone, not on {where.type}", remedy="use auto")
    if asked == "tf32" and (where.type != "cuda" or torch.cuda.get_device_capability(where) < (8, 0)):
        raise InputError("train.precision is tf32, which only recent NVIDIA GPUs have", remedy="use auto")
    return asked


def placing(machine: Machine, scaler: Any = None) -> Any:
    """What places a training on the machine: Fabric, or :class:`Plain` on a CPU, which needs nothing of Fabric."""
    return Plain(machine.precision) if machine.device.type == "cpu" else fabric(machine, scaler)


def memory_format(network: nn.Module, machine: Machine) -> torch.memory_format:
    """Channels last, which convolutions are faster in, where the device and torch can.

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


def fabric(machine: Machine, scaler: Any = None) -> Any:
    """Lightning's Fabric for one device and its precision; ``scaler`` scales the losses of fp16."""
    cls, where = _fabric_class(), machine.device
    devices: Any = [where.index] if where.type == "cuda" else 1
    if scaler is not None:
        from lightning_fabric.plugins import MixedPrecision

        plugin = MixedPrecision(precision="16-mixed", device=where.type, scaler=scaler)
        made = cls(accelerator=where.type, devices=devices, plugins=[plugin])
    else:
        made = cls(accelerator=where.type, devices=devices, precision=WORDS[machine.precision])
    made.launch()
    return made


def _fabric_class() -> Any:
    if "lightning_fabric" not in sys.modules and "torchmetrics" not in sys.modules:
        stand_in = types.ModuleType("torchmetrics")
        stand_in.__spec__ = importlib.machinery.ModuleSpec("torchmetrics", None)
        stand_in.__dict__["__version__"] = importlib.metadata.version("torchmetrics")
        sys.modules["torchmetrics"] = stand_in
        try:
            import lightning_fabric
        finally:
            del sys.modules["torchmetrics"]
    import lightning_fabric

    return lightning_fabric.Fabric


def threads(network: nn.Module, shape: tuple[int, int, int, int]) -> int:
    """Threads of a CPU kernel for batches of that shape: OMP_NUM_THREADS, else all usable cores, or one for small work.

    How sums are shared out rounds them, so the number follows from the network alone, never from the load: kernels of
    a few microseconds on several threads wait for each other, ten times as long where the machine has other work.
    """
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdigit() and int(given) > 0:
        return int(given)
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
    """Runs the block with torch's generators, thread count and determinism its own, and puts back what was before."""
    where, before = machine.device, torch.get_num_threads()
    strict, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    cudnn = torch.backends.cudnn.benchmark
    matmul, convolution = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    cuda = [where.index] if where.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.set_num_threads(machine.threads)
        # by default torch takes TF32 for convolutions alone: fp32 means fp32 here
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = machine.precision != "fp32"
        if where.type == "cuda":
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


def reseed(where: torch.device, seed: int) -> None:
    """TrainingData the generators that dropout and stochastic depth draw from; within :func:`settled` alone."""
    torch.default_generator.manual_seed(seed)
    if where.type == "cuda":
        torch.cuda.default_generators[where.index].manual_seed(seed)
    elif where.type == "mps":
        torch.mps.manual_seed(seed)


def peak_memory(where: torch.device) -> int | None:
    """Bytes of device memory taken at most so far; None on the CPU, whose peak the executor notes."""
    return int(torch.cuda.max_memory_allocated(where)) if where.type == "cuda" else None


def free_memory(where: torch.device) -> int:
    """Bytes that a training could still take on the device; on the CPU within the limits of its control group."""
    if where.type == "cuda":
        return int(torch.cuda.mem_get_info(where)[0])
    if where.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    import psutil

    free = int(psutil.virtual_memory().available)
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.is_file() and used.is_file() and (most := limit.read_text().strip()).isdigit():
        free = min(free, int(most) - int(used.read_text()))
    return max(0, free)
