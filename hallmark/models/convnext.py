"""A small convolutional network after ConvNeXt (Liu et al. 2022).

[batch, channels, height, width] -> patches [batch, units, height/p, width/p] -> three stages of blocks, the side halved
and the channels doubled between them -> mean over positions, layer norm [batch, 4 units] -> logits [batch, classes]
"""

from __future__ import annotations

import torch
from einops.layers.torch import Reduce
from torch import Tensor, nn

from hallmark.contracts import require
from hallmark.models import layers


class Block(nn.Module):
    """Depthwise 7x7, norm, expand four times, activation, project, scale: [batch, size, h, w] -> the same."""

    def __init__(self, size: int, *, activation: str, norm: str, drop: float) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(size, size, 7, padding=3, groups=size),
            layers.norm(norm, size, spatial=True),
            nn.Conv2d(size, 4 * size, 1),
            layers.activation(activation),
            nn.Conv2d(4 * size, size, 1),
        )
        self.scale = nn.Parameter(torch.full((1, size, 1, 1), 0.1))
        self.drop = layers.StochasticDepth(drop)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.drop(self.scale * self.branch(x))
        return result


def convnext(
    *,
    classes: int,
    height: int,
    width: int,
    channels: int,
    units: int = 48,
    depth: int = 2,
    patch: int = 2,
    activation: str = "gelu",
    norm: str = "layer",
    dropout: float = 0.0,
    stochastic_depth: float = 0.0,
) -> nn.Module:
    """Three stages of ``depth`` blocks on patches of ``patch`` pixels."""
    require.in_range(1, 9, depth=depth)
    require.at_least(1, width=units)
    require.in_range(1, min(height, width), patch=patch)
    steps: list[nn.Module] = [nn.Conv2d(channels, units, patch, patch), layers.norm(norm, units, spatial=True)]
    rates = iter(layers.depth_rates(stochastic_depth, 3 * depth))
    size, side = units, min(height, width) // patch
    for stage in range(3):
        if stage > 0:
            stride = 2 if side >= 4 else 1
            side //= stride
            steps += [layers.norm(norm, size, spatial=True), nn.Conv2d(size, 2 * size, stride, stride)]
            size *= 2
        steps += [Block(size, activation=activation, norm=norm, drop=next(rates)) for _ in range(depth)]
    body = nn.Sequential(
        *steps,
        Reduce("b c h w -> b c", "mean"),
        nn.LayerNorm(size),
        nn.Dropout(dropout),
        nn.Linear(size, classes),
    )
    layers.initialise(body, activation)
    return body
