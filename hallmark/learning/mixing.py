"""mixup (Zhang et al. 2018) and cutmix (Yun et al. 2019): images and their targets blended within a batch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def mix(images: Tensor, targets: Tensor, *, mixup: float, cutmix: float, seed: int) -> tuple[Tensor, Tensor]:
    """Images [b, c, h, w] and targets [b, classes], mixed as ``seed`` says, of the same shapes.

    ``mixup`` and ``cutmix`` are the parameters of their Beta distributions, 0 for never; with both, a coin decides.
    """
    if not mixup and not cutmix:
        return images, targets
    generator = np.random.default_rng(seed)
    cut = bool(cutmix) and (not mixup or generator.random() < 0.5)
    strength = cutmix if cut else mixup
    share = float(generator.beta(strength, strength))
    partner = torch.from_numpy(generator.permutation(len(images))).to(images.device)
    if not cut:
        return images.lerp(images[partner], 1 - share), targets.lerp(targets[partner], 1 - share)
    height, width = images.shape[2:]
    side = float(np.sqrt(1 - share))
    middle_y, middle_x = generator.integers(height), generator.integers(width)
    top, bottom = (int(np.clip(middle_y + sign * height * side / 2, 0, height)) for sign in (-1, 1))
    left, right = (int(np.clip(middle_x + sign * width * side / 2, 0, width)) for sign in (-1, 1))
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = images[partner, :, top:bottom, left:right]
    covered = (bottom - top) * (right - left) / (height * width)
    return mixed, targets.lerp(targets[partner], covered)
