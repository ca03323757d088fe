"""A vision transformer (Dosovitskiy et al. 2021) with pre-norm blocks and mean pooling, as in big_vision's ViT-S.

[batch, channels, height, width] -> patches [batch, tokens, units] -> blocks -> mean over tokens [batch, units]
-> logits [batch, classes]
"""

from __future__ import annotations

import math

import torch
from einops import rearrange
from einops.layers.torch import Rearrange, Reduce
from torch import Tensor, nn
from torch.nn import functional

from hallmark.contracts import require
from hallmark.models import layers


class Attention(nn.Module):
    """Multi-head self-attention: [batch, tokens, units] -> the same."""

    def __init__(self, units: int, heads: int, *, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.qkv = nn.Linear(units, 3 * units)
        self.out = nn.Linear(units, units)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = rearrange(self.qkv(x), "b n (three h d) -> three b h n d", three=3, h=self.heads)
        rate = self.dropout if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(query, key, value, dropout_p=rate)
        result: Tensor = self.out(rearrange(mixed, "b h n d -> b n (h d)"))
        return result


class Block(nn.Module):
    """Attention and a four times wider MLP, each with pre-norm and shortcut: [batch, tokens, units]."""

    def __init__(self, units: int, heads: int, *, activation: str, dropout: float, drop: float) -> None:
        super().__init__()
        self.attention = nn.Sequential(nn.LayerNorm(units), Attention(units, heads, dropout=dropout))
        self.mlp = nn.Sequential(
            nn.LayerNorm(units),
            nn.Linear(units, 4 * units),
            layers.activation(activation),
            nn.Dropout(dropout),
            nn.Linear(4 * units, units),
        )
        self.drop = layers.StochasticDepth(drop)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop(self.attention(x))
        result: Tensor = x + self.drop(self.mlp(x))
        return result


class Positions(nn.Module):
    """Adds a learned vector per token: [batch, tokens, units] -> the same."""

    def __init__(self, tokens: int, units: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(1, tokens, units) * 0.02)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.vectors


def vit(
    *,
    classes: int,
    height: int,
    width: int,
    channels: int,
    units: int = 96,
    depth: int = 6,
    patch: int = 4,
    heads: int = 0,
    activation: str = "gelu",
    dropout: float = 0.0,
    stochastic_depth: float = 0.0,
) -> nn.Module:
    """``depth`` blocks of ``units`` units on patches of ``patch`` pixels; heads 0 means units / 32."""
    heads = heads or max(1, units // 32)
    require.in_range(1, 24, depth=depth)
    require.in_range(1, min(height, width), patch=patch)
    require.at_least(heads, width=units)
    units -= units % heads
    across, down = math.ceil(width / patch), math.ceil(height / patch)
    blocks = [
        Block(units, heads, activation=activation, dropout=dropout, drop=rate)
        for rate in layers.depth_rates(stochastic_depth, depth)
    ]
    body = nn.Sequential(
        nn.ZeroPad2d((0, across * patch - width, 0, down * patch - height)),
        Rearrange("b c (h p) (w q) -> b (h w) (p q c)", p=patch, q=patch),
        nn.Linear(channels * patch * patch, units),
        Positions(across * down, units),
        *blocks,
        nn.LayerNorm(units),
        Reduce("b n d -> b d", "mean"),
        nn.Dropout(dropout),
        nn.Linear(units, classes),
    )
    for module in body.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    return body
