"""The generators and their training presets, which count steps, not time.

A preset's steps hold for images of 28 × 28 pixels and scale with the positions of the network's feature map, so that a
preset costs about the same for images of 8 and 64 pixels: on two idle cores ``quick`` takes half a minute, ``short`` 2
to 3, ``medium`` 10 and ``long`` 60 minutes.

>>> PRESETS["quick"].steps_for(28, 28) < PRESETS["quick"].steps_for(8, 8)
True
"""

from __future__ import annotations

from dataclasses import dataclass

GENERATORS = ("flow_matching", "latent_mixup")
EXTERNAL = "external"  # the origin of images from a folder

PATCHED_FROM = 40  # longer side in pixels above which the network works on patches of 2 × 2 pixels
_PLACES = 28 * 28
_SMALLEST = 280  # positions below which the overhead of starting operations dominates a step


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One training length, with the network's width and the sampling steps."""

    steps: int  # at 28 × 28 pixels
    batch: int  # images a step
    width: int  # channels of the finest level, doubled once below it
    blocks: int  # residual blocks a level
    sampling_steps: int  # of Heun's method, two evaluations each
    learning_rate: float
    ema: float

    def steps_for(self, height: int, width: int) -> int:
        """Training steps for images of one size."""
        patch = patch_of(height, width)
        places = max(-(-height // patch) * -(-width // patch), _SMALLEST)
        return max(100, round(self.steps * _PLACES / places / 50) * 50)


def patch_of(height: int, width: int) -> int:
    """The side of a patch in pixels."""
    return 2 if max(height, width) > PATCHED_FROM else 1


PRESETS = {
    "quick": Preset(steps=170, batch=32, width=32, blocks=1, sampling_steps=8, learning_rate=2e-3, ema=0.99),
    "short": Preset(steps=800, batch=64, width=32, blocks=1, sampling_steps=16, learning_rate=2e-3, ema=0.995),
    "medium": Preset(steps=2_000, batch=64, width=48, blocks=1, sampling_steps=20, learning_rate=1e-3, ema=0.998),
    "long": Preset(steps=3_500, batch=96, width=64, blocks=2, sampling_steps=24, learning_rate=1e-3, ema=0.999),
}
