"""EfficientNet-lite (Tan & Le 2019; no squeeze-and-excitation, ReLU6): small networks for photographs.

[batch, 3, height, width] -> stem [batch, 32, h/2, w/2] -> 16 to 23 inverted bottlenecks (Sandler et al. 2018)
-> [batch, 1280, h/32, w/32] -> mean over positions [batch, 1280] -> logits [batch, classes]

With ``levels`` the head sees the means of the last four stages too, [batch, 1984] for lite0: textures and parts, which
the last layer has given up for the classes of ImageNet (Evci et al. 2022, Head2Toe).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from einops.layers.torch import Reduce
from torch import Tensor, nn
from torch.nn import functional

from hallmark.contracts import require
from hallmark.models import layers

FEATURES = 1280
_STEM = 32
_FIRST = 3  # step of the first block
_EPS, _MOMENTUM = 1e-3, 0.01  # of the batch norms of the published weights
LEVELS = 4  # stages, the last ones, whose means the head sees with ``levels``
SCALES = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2)}  # size -> multiples of the channels and of the blocks


class _Stage(NamedTuple):
    blocks: int
    kernel: int
    stride: int
    expand: int
    out: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


class SameConv(nn.Conv2d):
    """A convolution whose output side is the input side / stride, rounded up: an odd pixel of padding comes last."""

    def forward(self, input: Tensor) -> Tensor:
        padding = []
        for side, kernel, stride in zip(input.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            missing = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            padding += [missing // 2, missing - missing // 2]
        return super().forward(functional.pad(input, padding))


def _convolution(size: int, out: int, kernel: int, *, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    if stride == 1:
        return nn.Conv2d(size, out, kernel, padding=kernel // 2, groups=groups, bias=False)
    return SameConv(size, out, kernel, stride, groups=groups, bias=False)


def _norm(channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels, eps=_EPS, momentum=_MOMENTUM)


class InvertedBottleneck(nn.Module):
    """Expand, depthwise convolution, project: [batch, size, h, w] -> [batch, out, h/stride, w/stride]."""

    def __init__(self, size: int, out: int, *, kernel: int, stride: int, expand: int, drop: float) -> None:
        super().__init__()
        wide = size * expand
        steps: list[nn.Module] = []
        if expand != 1:
            steps += [_convolution(size, wide, 1), _norm(wide), nn.ReLU6()]
        steps += [_convolution(wide, wide, kernel, stride=stride, groups=wide), _norm(wide), nn.ReLU6()]
        steps += [_convolution(wide, out, 1), _norm(out)]
        self.branch = nn.Sequential(*steps)
        self.residual = stride == 1 and size == out
        self.drop = layers.StochasticDepth(drop)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.branch(x)
        return x + self.drop(result) if self.residual else result


class Levels(nn.Sequential):
    """Steps from images to logits; before the step ``head``, the means of the steps ``pooled`` join the features.

    ``widths``: the number of features of each of them, and of the last one.
    """

    def __init__(self, *steps: nn.Module, pooled: dict[int, int], head: int) -> None:
        super().__init__(*steps)
        self.pooled, self.head = tuple(pooled), head
        self.widths = (*pooled.values(), FEATURES)

    def forward(self, x: Tensor) -> Tensor:
        means: list[Tensor] = []
        for number, step in enumerate(self):
            x = step(x if number != self.head else torch.cat([*means, x], dim=1))
            if number in self.pooled:
                means.append(x.mean(dim=(2, 3)))
        return x


def efficientnet_lite(
    *,
    classes: int,
    height: int,
    width: int,
    channels: int,
    size: int = 0,
    levels: bool = False,
    dropout: float = 0.0,
    stochastic_depth: float = 0.0,
) -> nn.Module:
    """EfficientNet-lite0, lite1 or lite2 by ``size``, with random weights."""
    assert channels == 3, "EfficientNet-lite takes colour images"
    require.in_range(0, max(SCALES), size=size)
    wider, deeper = SCALES[size]
    steps: list[nn.Module] = [_convolution(3, _STEM, 3, stride=2), _norm(_STEM), nn.ReLU6()]
    plan = _blocks(wider, deeper)
    before = _STEM
    for stage, drop in zip(plan, layers.depth_rates(stochastic_depth, len(plan)), strict=True):
        steps.append(
            InvertedBottleneck(
                before, stage.out, kernel=stage.kernel, stride=stage.stride, expand=stage.expand, drop=drop
            )
        )
        before = stage.out
    steps += [_convolution(before, FEATURES, 1), _norm(FEATURES), nn.ReLU6(), Reduce("b c h w -> b c", "mean")]
    body: nn.Sequential
    if levels:
        pooled = {_FIRST + number: plan[number].out for number in _last_of_stages(plan)[-LEVELS:]}
        head = (nn.Dropout(dropout), nn.Linear(sum(pooled.values()) + FEATURES, classes))
        body = Levels(*steps, *head, pooled=pooled, head=len(steps))
    else:
        body = nn.Sequential(*steps, nn.Dropout(dropout), nn.Linear(FEATURES, classes))
    layers.initialise(body, "relu")
    return body


def _last_of_stages(plan: list[_Stage]) -> list[int]:
    """The last block of each stage."""
    return [number for number, stage in enumerate(plan) if number + 1 == len(plan) or plan[number + 1].out != stage.out]


def _blocks(wider: float, deeper: float) -> list[_Stage]:
    """One entry for each block; stem, first and last stage keep their number of blocks."""
    blocks = []
    for number, stage in enumerate(_STAGES):
        ends = number in (0, len(_STAGES) - 1)
        count = stage.blocks if ends else math.ceil(stage.blocks * deeper)
        wide = stage._replace(out=_rounded(stage.out * wider))
        blocks += [wide, *[wide._replace(stride=1)] * (count - 1)]
    return blocks


def _rounded(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of ``divisor`` that is not more than a tenth below."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded
