"""Flow matching (Lipman et al. 2023): a network learns the velocity that moves noise to images along straight lines.

Between noise ``x0`` and an image ``x1`` the point at time ``t`` is ``(1 - t) x0 + t x1``, its velocity ``x1 - x0``.
Sampling integrates the learnt velocity from noise at time 0 to an image at time 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn


def loss(network: nn.Module, images: Tensor, labels: Tensor, noise: Tensor, times: Tensor) -> Tensor:
    """The mean squared error of the velocity: a scalar.

    ``images`` and ``noise`` [batch, channels, height, width], ``labels`` int64 [batch], ``times`` [batch] in [0, 1].
    """
    at = times[:, None, None, None]
    point = torch.lerp(noise, images, at)
    error: Tensor = network(point, times, labels) - (images - noise)
    return error.square().mean()


@torch.no_grad()
def draw(network: nn.Module, labels: Tensor, noise: Tensor, *, none: int, guidance: float, steps: int) -> Tensor:
    """Images [batch, channels, height, width] of the classes ``labels`` int64 [batch], by Heun's method from ``noise``.

    ``guidance`` 1 uses the class-conditional velocity; larger values move away from that of label ``none`` (Ho &
    Salimans 2022): more typical images, less variety.
    """

    def velocity(point: Tensor, time: float) -> Tensor:
        times = torch.full((len(point),), time, device=point.device)
        if guidance == 1.0:
            out: Tensor = network(point, times, labels)
            return out
        both = torch.cat([labels, torch.full_like(labels, none)])
        of_class, of_none = network(point.repeat(2, 1, 1, 1), times.repeat(2), both).chunk(2)
        return torch.lerp(of_none, of_class, guidance)

    point = noise
    for step in range(steps):
        now, then = step / steps, (step + 1) / steps
        slope = velocity(point, now)
        ahead = point + (then - now) * slope
        # the last step is Euler's: the velocity at time 1 is poorly learnt
        point = ahead if step == steps - 1 else point + (then - now) / 2 * (slope + velocity(ahead, then))
    return point
