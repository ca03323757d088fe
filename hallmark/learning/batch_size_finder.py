"""The batch-size finder: the largest batch whose training step fits into the memory.

The result follows from the machine's memory: another machine may get another batch size, and then trains other weights.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hallmark.contracts.errors import MachineError
from hallmark.learning import devices

if TYPE_CHECKING:
    from hallmark.learning.devices import Machine

SHARE = 0.5  # of the free memory, that training may take
STEPS_LEFT = 8  # steps an epoch keeps, however much memory there is,
LEAST = 8  # unless its batches were smaller than this
TRIED = 4  # images of the batch that measures the memory of one image
COPIES = 6  # of the weights: themselves, gradients, two moments, their average, the best epoch's


def search(network: nn.Module, shape: tuple[int, int, int], *, images: int, machine: Machine, classes: int) -> int:
    """The largest power of two whose training step fits into :data:`SHARE` of the memory that is free now.

    ``shape`` is an image's [channels, height, width]. On a GPU steps are tried, each twice as large, until one does not
    fit; elsewhere a step of :data:`TRIED` images tells what one takes, and nothing larger is ever allocated: a process
    that takes too much of the main memory is killed without an error. An epoch keeps :data:`STEPS_LEFT` steps of
    :data:`LEAST` images or more. Raises MachineError where not even the smallest fits.
    """
    most = max(min(images, LEAST), images // STEPS_LEFT)
    with devices.settled(machine, deterministic=False):
        trial = copy.deepcopy(network).to(machine.device).train()
        if machine.device.type == "cuda":
            largest = _tried(trial, shape, most, machine, classes)
        else:
            each, fixed = _cost(trial, shape, machine, classes)
            largest = int((devices.free_memory(machine.device) * SHARE - fixed) // each)
    if largest < 2:
        raise MachineError(
            "find fails, because not even a batch of two images fits into memory",
            field="batch_size",
            remedy="choose a smaller model or model.image_size, or end other programs",
        )
    return int(2 ** math.floor(math.log2(min(largest, most))))


def _step(network: nn.Module, shape: tuple[int, int, int], size: int, machine: Machine, classes: int) -> None:
    images = torch.zeros((size, *shape), device=machine.device)
    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(machine.precision)
    with torch.autocast(machine.device.type, dtype=kind, enabled=kind is not None):
        logits = network(images)
    targets = torch.zeros(size, dtype=torch.int64, device=machine.device)
    assert logits.shape == (size, classes), logits.shape
    value: Any = nn.functional.cross_entropy(logits.float(), targets)
    value.backward()


def _cost(network: nn.Module, shape: tuple[int, int, int], machine: Machine, classes: int) -> tuple[float, float]:
    """Bytes that an image takes in a step, and those that the weights take with all that belongs to them."""
    stored: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        stored[storage.data_ptr()] = storage.nbytes()
        return tensor

    weights = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        _step(network, shape, TRIED, machine, classes)
    saved = sum(size for pointer, size in stored.items() if pointer not in weights)
    # the backward pass holds gradients beside what was saved for it, at worst as much again
    each = 2 * saved / TRIED + 8 * math.prod(shape)
    return each, COPIES * sum(p.numel() * p.element_size() for p in network.parameters())


def _tried(network: nn.Module, shape: tuple[int, int, int], most: int, machine: Machine, classes: int) -> int:
    """The last size whose step took less than its share; sizes double."""
    device: Any = machine.device
    fixed = COPIES * sum(p.numel() * p.element_size() for p in network.parameters())
    limit = devices.free_memory(device) * SHARE - fixed
    largest, size = 1, 2  # batch norm cannot take an image alone
    while size <= most:
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        try:
            _step(network, shape, size, machine, classes)
        except torch.OutOfMemoryError:
            break
        finally:
            network.zero_grad(set_to_none=True)
            torch.cuda.empty_cache()
        if torch.cuda.max_memory_allocated(device) - before > limit:
            break
        largest, size = size, size * 2
    return largest
