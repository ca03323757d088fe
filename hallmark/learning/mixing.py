"""mixup (Zhang et al. 2018) and cutmix (Yun et al. 2019): blends pairs of images, and their targets, in a batch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def mix(
    images: Tensor, targets: Tensor, weights: Tensor, *, mixup: float, cutmix: float, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Mixed images [b, c, h, w], targets [b, classes] and image weights [b], which depend on ``seed``.

    ``mixup`` and ``cutmix`` are the parameters of the Beta distributions of the share; 0 disables a method, but not
    both may be 0. If both are positive, each is used with probability 1/2. The loss of a pair is the blend of the
    weighted losses of its images.
    """
    generator = np.random.default_rng(seed)
    cut = bool(cutmix) and (not mixup or generator.random() < 0.5)
    strength = cutmix if cut else mixup
    share = float(generator.beta(strength, strength))
    partner = torch.from_numpy(generator.permutation(len(images))).to(images.device)
    if not cut:
        return images.lerp(images[partner], 1 - share), *_blended(targets, weights, partner, 1 - share)
    height, width = images.shape[2:]
    side = float(np.sqrt(1 - share))
    middle_y, middle_x = generator.integers(height), generator.integers(width)
    top, bottom = (int(np.clip(middle_y + sign * height * side / 2, 0, height)) for sign in (-1, 1))
    left, right = (int(np.clip(middle_x + sign * width * side / 2, 0, width)) for sign in (-1, 1))
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = images[partner, :, top:bottom, left:right]
    covered = (bottom - top) * (right - left) / (height * width)
    return mixed, *_blended(targets, weights, partner, covered)


def _blended(targets: Tensor, weights: Tensor, partner: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Targets with rows that sum to 1, and weights: their product is the blend of the weighted targets."""
    weighed = targets * weights[:, None]
    weighed = weighed.lerp(weighed[partner], share)
    total = weighed.sum(dim=1)
    return weighed / total.clamp_min(1e-12)[:, None], total
