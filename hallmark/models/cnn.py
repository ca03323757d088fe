"""A plain convolutional network: stages of two 3x3 convolutions, each stage halving the side and doubling the channels.

[batch, channels, height, width] -> [batch, units, height, width] -> [batch, 2 units, height/2, width/2] ...
-> mean over places [batch, features] -> logits [batch, classes]
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
    """``depth`` stages; the side halves between them as long as it stays at 2 pixels or more."""
    require.in_range(1, 6, **{"model.depth": depth})
    require.at_least(1, **{"model.width": units})
    steps: list[nn.Module] = []
    size, side = channels, min(height, width)
    for stage in range(depth):
        if stage > 0 and side >= 4:
            steps.append(nn.MaxPool2d(2))
            side //= 2
        for _ in range(2):
            out = units * 2**stage
            steps += [
                nn.Conv2d(size, out, 3, padding=1, bias=norm != "batch"),
                layers.norm(norm, out, spatial=True),
                layers.activation(activation),
            ]
            size = out
    body = nn.Sequential(*steps, Reduce("b c h w -> b c", "mean"), nn.Dropout(dropout), nn.Linear(size, classes))
    layers.initialise(body, activation)
    return body
