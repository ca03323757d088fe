"""Building blocks of the networks: input normalisation, activations, norms, stochastic depth, weight init."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from hallmark.contracts import require
from hallmark.models.params import SMALLEST_BATCH

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}

NORMS = ("batch", "group", "layer", "none")


def activation(name: str) -> nn.Module:
    """The activation of that name, which keeps shapes. Raises InputError for an unknown name."""
    require.one_of(ACTIVATIONS, activation=name)
    return ACTIVATIONS[name]()


class ChannelLayerNorm(nn.LayerNorm):
    """Layer norm over the channels at each position: [batch, channels, height, width] -> the same."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.movedim(1, -1)).movedim(-1, 1)


def check_batches(network: nn.Module, size: int) -> None:
    """Raises InputError if batches of ``size`` may contain a single image and the network has batch norm."""
    normed = any(isinstance(each, nn.modules.batchnorm._BatchNorm) for each in network.modules())
    require.that(
        size >= SMALLEST_BATCH or not normed,
        f"is {size}, but the network has batch norm, and a batch may hold a single image",
        remedy=f"set it to {SMALLEST_BATCH} or more",
        field="batch_size",
    )


def norm(name: str, channels: int, *, spatial: bool) -> nn.Module:
    """A norm for [batch, channels, height, width] (spatial) or [batch, channels]; it keeps shapes."""
    require.one_of(NORMS, norm=name)
    if name == "batch":
        return nn.BatchNorm2d(channels) if spatial else nn.BatchNorm1d(channels)
    if name == "group":
        # a group of one channel without positions would be its own mean
        groups = 8 if spatial else max(1, min(8, channels // 8))
        return nn.GroupNorm(math.gcd(channels, groups), channels)
    if name == "layer":
        return ChannelLayerNorm(channels) if spatial else nn.LayerNorm(channels)
    return nn.Identity()


class StochasticDepth(nn.Module):
    """Drops a residual branch for whole images during training and scales the rest up (Huang et al. 2016).

    [batch, ...] -> the same. Draws from torch's default generator of the tensor's device, as dropout does.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        require.in_range(0, 0.9, stochastic_depth=rate)
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return branch
        keep = torch.rand(branch.shape[0], *[1] * (branch.ndim - 1), device=branch.device) >= self.rate
        return branch * keep.to(branch.dtype) / (1 - self.rate)


def depth_rates(rate: float, blocks: int) -> list[float]:
    """Stochastic depth's rate for each block, rising linearly from 0 to ``rate``.

    >>> depth_rates(0.2, 3)
    [0.0, 0.1, 0.2]
    """
    return [rate * index / max(blocks - 1, 1) for index in range(blocks)]


class Normalise(nn.Module):
    """(images - mean) / std per channel: [batch, channels, height, width] in [0, 1] -> the same shape.

    Mean and std are buffers saved with the weights, so every user of the network normalises equally.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(list(mean), dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(list(std), dtype=torch.float32).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std


def initialise(body: nn.Module, activation_name: str) -> None:
    """Draws convolution and linear weights to suit the activation, from torch's default CPU generator.

    Kaiming for the ReLU family (He et al. 2015), Xavier for sigmoid and tanh (Glorot & Bengio 2010); biases are zero.
    """
    for module in body.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            if activation_name in ("sigmoid", "tanh"):
                nn.init.xavier_uniform_(module.weight)
            else:
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
