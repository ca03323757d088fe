"""A small U-Net that maps an image, a time and a class to a velocity of the image's shape.

Levels halve the side while it stays at 4 positions or more, twice at most; the coarsest level has self-attention. Time
and class modulate each block by a scale and shift per channel (Perez et al. 2018). Images of any size are padded to a
multiple of the stride, and the output is cropped.
"""

from __future__ import annotations

import math

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from hallmark.synthesis.presets import patch_of


class Block(nn.Module):
    """A residual block: [batch, features, h, w] and context [batch, context] -> [batch, out, h, w]."""

    def __init__(self, features: int, out: int, context: int) -> None:
        super().__init__()
        self.before = nn.GroupNorm(math.gcd(features, 8), features)
        self.first = nn.Conv2d(features, out, 3, padding=1)
        self.modulation = nn.Linear(context, 2 * out)
        self.between = nn.GroupNorm(math.gcd(out, 8), out)
        self.second = nn.Conv2d(out, out, 3, padding=1)
        self.skip = nn.Conv2d(features, out, 1) if features != out else nn.Identity()
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        scale, shift = rearrange(self.modulation(context), "b (two c) -> two b c 1 1", two=2)
        hidden = self.first(F.silu(self.before(x)))
        hidden = self.between(hidden) * (1 + scale) + shift
        out: Tensor = self.skip(x) + self.second(F.silu(hidden))
        return out


class Attention(nn.Module):
    """Residual self-attention over all positions: [batch, features, h, w] -> the same shape."""

    def __init__(self, features: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(math.gcd(features, 8), features)
        self.mixed = nn.Conv2d(features, 3 * features, 1)
        self.out = nn.Conv2d(features, features, 1)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = rearrange(
            self.mixed(self.norm(x)), "b (three heads c) h w -> three b heads (h w) c", three=3, heads=self.heads
        )
        attended = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = x + self.out(rearrange(attended, "b heads (h w) c -> b (heads c) h w", h=x.shape[2]))
        return out


class UNet(nn.Module):
    """images [batch, channels, height, width], times [batch] in [0, 1], labels int64 [batch] -> velocity like images.

    Label ``classes`` is the unconditional label (classifier-free guidance, Ho & Salimans 2022).
    """

    def __init__(self, *, classes: int, height: int, width: int, channels: int, features: int, blocks: int) -> None:
        super().__init__()
        self.patch = patch_of(height, width)
        shorter = -(-min(height, width) // self.patch)
        self.levels = sum(shorter // 2**level >= 4 for level in (1, 2))
        context = 4 * features
        self.features = features
        self.time = nn.Sequential(nn.Linear(2 * features, context), nn.SiLU(), nn.Linear(context, context))
        self.label = nn.Embedding(classes + 1, context)
        sizes = [features, *[2 * features] * self.levels]
        self.stem = nn.Conv2d(channels * self.patch**2, features, 3, padding=1)
        self.down = nn.ModuleList()
        self.shrink = nn.ModuleList()
        for level, size in enumerate(sizes):
            self.down.append(nn.ModuleList([Block(size, size, context) for _ in range(blocks)]))
            if level < self.levels:
                self.shrink.append(nn.Conv2d(size, sizes[level + 1], 3, stride=2, padding=1))
        self.attention = Attention(sizes[-1])
        self.middle = Block(sizes[-1], sizes[-1], context)
        self.up = nn.ModuleList()
        for level in reversed(range(self.levels)):
            first = Block(sizes[level + 1] + sizes[level], sizes[level], context)
            more = [Block(sizes[level], sizes[level], context) for _ in range(blocks - 1)]
            self.up.append(nn.ModuleList([first, *more]))
        self.norm = nn.GroupNorm(math.gcd(features, 8), features)
        self.head = nn.Conv2d(features, channels * self.patch**2, 3, padding=1)
        nn.init.zeros_(self.head.weight)

    def forward(self, images: Tensor, times: Tensor, labels: Tensor) -> Tensor:
        height, width = images.shape[2:]
        step = self.patch * 2**self.levels
        padded = F.pad(images, (0, -width % step, 0, -height % step), mode="replicate")
        context = F.silu(self.time(self._waves(times)) + self.label(labels))
        x = self.stem(rearrange(padded, "b c (h p) (w q) -> b (c p q) h w", p=self.patch, q=self.patch))
        skipped = []
        for level, blocks in enumerate(self.down):
            for block in _members(blocks):
                x = block(x, context)
            if level < self.levels:
                skipped.append(x)
                x = self.shrink[level](x)
        x = self.middle(self.attention(x), context)
        for blocks in self.up:
            x = torch.cat([F.interpolate(x, scale_factor=2, mode="nearest"), skipped.pop()], dim=1)
            for block in _members(blocks):
                x = block(x, context)
        x = self.head(F.silu(self.norm(x)))
        out: Tensor = rearrange(x, "b (c p q) h w -> b c (h p) (w q)", p=self.patch, q=self.patch)
        return out[:, :, :height, :width]

    def _waves(self, times: Tensor) -> Tensor:
        """Times [batch] as sines and cosines [batch, 2 features] of rising frequency."""
        rates = torch.exp(torch.linspace(0, math.log(1000), self.features, device=times.device))
        angles = times[:, None] * rates
        return torch.cat([angles.sin(), angles.cos()], dim=1)


def _members(blocks: nn.Module) -> nn.ModuleList:
    """The blocks of a level; torch types the members of a nested ModuleList as plain modules."""
    assert isinstance(blocks, nn.ModuleList)
    return blocks
