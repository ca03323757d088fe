"""A plain convolutional network: stages of two 3x3 convolutions, each stage halving the side and doubling the channels.

[batch, channels, height, width] -> [batch, units, h, w] -> [batch, 2 units, h/2, w/2] ...
-> mean over positions [batch, features] -> logits [batch, classes]

For images of 16 pixels or more, every stage pools right after its first convolution and before the norm, as in Keller
Jordan's airbench, at less than half the cost. For smaller images only later stages pool, to keep some resolution.
"""

from __future__ import annotations

from einops.layers.torch import Reduce
from torch import nn

from hallmark.contracts import require
from hallmark.models import layers


def cnn(
    *,
    classes: int,
    height: int,
    width: int,
    channels: int,
    units: int = 32,
    depth: int = 3,
    activation: str = "relu",
    norm: str = "batch",
    dropout: float = 0.0,
) -> nn.Module:
    """``depth`` stages; the side is halved only while at least 2 pixels remain."""
    require.in_range(1, 6, depth=depth)
    require.at_least(1, width=units)
    steps: list[nn.Module] = []
    size, side = channels, min(height, width)
    within = side >= 16
    for stage in range(depth):
        out = units * 2**stage
        for second in (False, True):
            halved = side >= 4 and not second and (within or stage > 0)
            if halved and not within:
                steps.append(nn.MaxPool2d(2))
            steps.append(nn.Conv2d(size, out, 3, padding=1, bias=norm != "batch"))
            if halved and within:
                steps.append(nn.MaxPool2d(2))
            side = side // 2 if halved else side
            steps += [layers.norm(norm, out, spatial=True), layers.activation(activation)]
            size = out
    body = nn.Sequential(*steps, Reduce("b c h w -> b c", "mean"), nn.Dropout(dropout), nn.Linear(size, classes))
    layers.initialise(body, activation)
    return body
