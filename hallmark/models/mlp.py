"""A multilayer perceptron with one to three hidden layers.

[batch, channels, height, width] -> [batch, pixels] -> [batch, units] ... -> logits [batch, classes]
"""

from __future__ import annotations

from einops.layers.torch import Rearrange
from torch import nn

from hallmark.contracts import require
from hallmark.models import layers


def mlp(
    *,
    classes: int,
    height: int,
    width: int,
    channels: int,
    units: int = 128,
    depth: int = 2,
    activation: str = "relu",
    norm: str = "batch",
    dropout: float = 0.0,
) -> nn.Module:
    """``depth`` hidden layers of ``units`` units, each linear, norm, activation, dropout."""
    require.in_range(1, 3, depth=depth)
    require.at_least(1, width=units)
    steps: list[nn.Module] = [Rearrange("b c h w -> b (c h w)")]
    size = channels * height * width
    for _ in range(depth):
        steps += [
            nn.Linear(size, units, bias=norm != "batch"),
            layers.norm(norm, units, spatial=False),
            layers.activation(activation),
            nn.Dropout(dropout),
        ]
        size = units
    body = nn.Sequential(*steps, nn.Linear(size, classes))
    layers.initialise(body, activation)
    return body
