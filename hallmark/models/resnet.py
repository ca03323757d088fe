"""A residual network of basic blocks (He et al. 2016), with post-activation and a zero-initialised last norm.

[batch, channels, height, width] -> stem [batch, units, h, w] -> four stages, each halving the side and doubling the
channels -> mean over positions [batch, 8 units] -> logits [batch, classes]

The ``cifar`` stem (3x3, stride 1) keeps the side, for images up to about 64 pixels; the ``imagenet`` stem (7x7, stride
2, then max pooling) divides it by four. units 64 and depth 2 are ResNet-18.
"""

from __future__ import annotations

from einops.layers.torch import Reduce
from torch import Tensor, nn

from hallmark.contracts import require
from hallmark.models import layers

STEMS = ("cifar", "imagenet")


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut: [batch, size, h, w] -> [batch, out, h/stride, w/stride]."""

    def __init__(self, size: int, out: int, *, stride: int, activation: str, norm: str, drop: float) -> None:
        super().__init__()
        bias = norm != "batch"
        self.branch = nn.Sequential(
            nn.Conv2d(size, out, 3, stride, padding=1, bias=bias),
            layers.norm(norm, out, spatial=True),
            layers.activation(activation),
            nn.Conv2d(out, out, 3, padding=1, bias=bias),
            layers.norm(norm, out, spatial=True),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or size != out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(size, out, 1, stride, bias=bias), layers.norm(norm, out, spatial=True)
            )
        self.drop = layers.StochasticDepth(drop)
        self.activation = layers.activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.activation(self.shortcut(x) + self.drop(self.branch(x)))
        return result


def resnet(
    *,
    classes: int,
    height: int,
    width: int,
    channels: int,
    units: int = 64,
    depth: int = 2,
    stages: int = 4,
    stem: str = "cifar",
    activation: str = "relu",
    norm: str = "batch",
    dropout: float = 0.0,
    stochastic_depth: float = 0.0,
) -> nn.Module:
    """``stages`` stages of ``depth`` basic blocks."""
    require.one_of(STEMS, stem=stem)
    require.in_range(1, 4, stages=stages)
    require.in_range(1, 8, depth=depth)
    require.at_least(1, width=units)
    bias = norm != "batch"
    kernel, stride = (3, 1) if stem == "cifar" else (7, 2)
    steps: list[nn.Module] = [
        nn.Conv2d(channels, units, kernel, stride, padding=kernel // 2, bias=bias),
        layers.norm(norm, units, spatial=True),
        layers.activation(activation),
    ]
    if stem == "imagenet":
        steps.append(nn.MaxPool2d(3, 2, padding=1))
    rates = iter(layers.depth_rates(stochastic_depth, stages * depth))
    size = units
    for stage in range(stages):
        out = units * 2**stage
        for block in range(depth):
            stride = 2 if stage > 0 and block == 0 else 1
            steps.append(BasicBlock(size, out, stride=stride, activation=activation, norm=norm, drop=next(rates)))
            size = out
    body = nn.Sequential(*steps, Reduce("b c h w -> b c", "mean"), nn.Dropout(dropout), nn.Linear(size, classes))
    layers.initialise(body, activation)
    for module in body.modules():
        if isinstance(module, BasicBlock):
            last = module.branch[-1]
            if isinstance(last, nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm) and last.weight is not None:
                # each block starts as its shortcut, which allows a higher learning rate (Goyal et al. 2017)
                nn.init.zeros_(last.weight)
    return body
