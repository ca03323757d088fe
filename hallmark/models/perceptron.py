"""A single linear layer on the pixels: the baseline for deeper networks.

[batch, channels, height, width] -> logits [batch, classes]
"""

from __future__ import annotations

from einops.layers.torch import Rearrange
from torch import nn


def perceptron(*, classes: int, height: int, width: int, channels: int, dropout: float = 0.0) -> nn.Module:
    """Pixels to logits in one step; dropout applies to pixels."""
    return nn.Sequential(
        Rearrange("b c h w -> b (c h w)"),
        nn.Dropout(dropout),
        nn.Linear(channels * height * width, classes),
    )
