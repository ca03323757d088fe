"""Training of the flow-matching generator, with resume.

The random draws of a step depend on (seed, step) only, so a resumed training ends in bit-identical weights.
"""

from __future__ import annotations

import hashlib
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from hallmark.contracts import progress
from hallmark.contracts.seeds import derive
from hallmark.contracts.telemetry import note
from hallmark.learning import devices
from hallmark.learning.ema import Ema
from hallmark.synthesis import flow
from hallmark.synthesis.parallel import mapping
from hallmark.synthesis.unet import UNet

if TYPE_CHECKING:
    from hallmark.learning.checkpoints import Checkpoints
    from hallmark.synthesis.generator import Images, Labels
    from hallmark.synthesis.presets import Preset

WITHOUT_CLASS = 0.1  # share of the images trained without their class label
CLASS_POWER = 0.5  # classes are sampled by this power of their count: 1 by frequency, 0 uniformly
WARM_UP = 0.05  # share of the steps
DRAWN_TOGETHER = 64
IN_ONE_PART = 16 * 16  # pixels
PARTS = 4


def parts_of(height: int, width: int) -> int:
    """Parallel parts of a batch; for small images the overhead exceeds the gain."""
    return 1 if height * width <= IN_ONE_PART else PARTS


@final
class FlowMatching:
    """A trained network that draws images uint8 [n, height, width, channels] of classes int64 [n]."""

    def __init__(
        self, network: UNet, *, classes: int, shape: tuple[int, int, int], scale: tuple[float, float], steps: int,
        guidance: float, machine: devices.Machine,
    ) -> None:  # fmt: skip
        self._network = network.to(machine.device).eval()
        self._classes, self._shape, self._scale = classes, shape, scale
        self._steps, self._guidance, self._machine = steps, guidance, machine

    def __call__(self, labels: Labels, *, seed: int) -> Images:
        height, width, channels = self._shape
        mean, std = self._scale
        device = self._machine.device

        def part(start: int) -> Images:
            batch = torch.from_numpy(labels[start : start + DRAWN_TOGETHER].astype(np.int64))
            random = torch.Generator().manual_seed(derive(seed, "synthesize", "draw", start))
            noise = torch.randn(len(batch), channels, height, width, generator=random)
            images = flow.draw(
                self._network, batch.to(device), noise.to(device), none=self._classes, guidance=self._guidance,
                steps=self._steps,
            )  # fmt: skip
            pixels = (images.float().cpu() * std + mean).clamp(0, 1).mul(255).round().to(torch.uint8)
            out: Images = rearrange(pixels, "b c h w -> b h w c").numpy()
            return out

        starts = range(0, len(labels), DRAWN_TOGETHER)
        with devices.settled(self._machine, deterministic=True), mapping(self._machine, parts=len(starts)) as over:
            drawn = list(progress.counted(over(part, starts), "drawing images", len(starts), unit="batches"))
        return np.concatenate(drawn) if drawn else np.empty((0, *self._shape), dtype=np.uint8)


def digest(images: Images, labels: Labels) -> str:
    """A digest of the training images and labels, in order."""
    shape = f"{images.shape}".encode()
    return hashlib.blake2b(shape + images.tobytes() + labels.tobytes(), digest_size=16).hexdigest()


def train(
    images: Images, labels: Labels, *, classes: int, preset: Preset, steps: int, guidance: float, seed: int,
    checkpoints: Checkpoints | None, machine: devices.Machine,
) -> FlowMatching:  # fmt: skip
    """Fits the generator on images uint8 [n, height, width, channels], labels int64 [n] below ``classes``."""
    height, width, channels = images.shape[1:]
    device = machine.device
    mean, std = float(images.mean(dtype=np.float64)) / 255, max(float(images.std(dtype=np.float64)) / 255, 1e-3)
    data = rearrange(torch.from_numpy(images), "n h w c -> n c h w").contiguous().to(device)
    targets = torch.from_numpy(labels)
    with devices.settled(machine, deterministic=True):
        devices.reseed(device, derive(seed, "synthesize", "weights"))
        network = UNet(
            classes=classes, height=height, width=width, channels=channels, features=preset.width, blocks=preset.blocks
        ).to(device)
        optimizer = torch.optim.AdamW(network.parameters(), lr=preset.learning_rate, betas=(0.9, 0.99), fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
        average = Ema(network, preset.ema)
        saved = _Parts(network, optimizer, schedule, average)
        first = saved.take_up(checkpoints.load() if checkpoints else None)
        shares = torch.bincount(targets, minlength=classes).double().clamp(min=1).pow(CLASS_POWER - 1)[targets]
        began = time.monotonic()
        parameters = list(network.parameters())
        parts = parts_of(height, width)

        def gradients(part: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            with _precision(machine):
                value = flow.loss(network, *part)
            return torch.autograd.grad(value, parameters)

        with mapping(machine, parts=parts) as over:
            for step in range(first, steps):
                random = torch.Generator().manual_seed(derive(seed, "synthesize", "step", step))
                picked = torch.multinomial(shares, preset.batch, replacement=True, generator=random)
                conditions = targets[picked].clone()
                conditions[torch.rand(preset.batch, generator=random) < WITHOUT_CLASS] = classes
                noise = torch.randn(preset.batch, channels, height, width, generator=random)
                # more samples of middle times, which are the hardest to learn (Esser et al. 2024)
                times = torch.randn(preset.batch, generator=random).sigmoid()
                real = (data[picked.to(device)].float() / 255 - mean) / std
                batch = (real, conditions.to(device), noise.to(device), times.to(device))
                shared = zip(*(each.chunk(parts) for each in batch), strict=True)
                for parameter, parted in zip(parameters, zip(*over(gradients, shared), strict=True), strict=True):
                    parameter.grad = torch.stack(parted).mean(dim=0) if parts > 1 else parted[0]
                torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0, foreach=True)
                optimizer.step()
                schedule.step()
                average.update(network, step)
                done = (step + 1) * preset.batch
                progress.report("training the generator", done, steps * preset.batch)
                if checkpoints is not None and step + 1 < steps and checkpoints.due(step + 1):
                    checkpoints.save(saved.state(step + 1))
        if checkpoints is not None and first < steps:
            checkpoints.save(saved.state(steps), finished=True)
        seconds = time.monotonic() - began
        note(
            device=device.type, resumed_from=first if first else None,
            samples_per_second=(steps - first) * preset.batch / seconds if steps > first else None,
        )  # fmt: skip
        network.load_state_dict(average.state)
    return FlowMatching(
        network, classes=classes, shape=(height, width, channels), scale=(mean, std), steps=preset.sampling_steps,
        guidance=guidance, machine=machine,
    )  # fmt: skip


def _rate(step: int, steps: int) -> float:
    """Learning-rate factor: a linear warm-up, then a half cosine."""
    warm = max(1, round(steps * WARM_UP))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + float(np.cos(np.pi * (step - warm) / max(1, steps - warm))))


def _precision(machine: devices.Machine) -> Any:
    """bf16 autocast if the device supports it."""
    quick = machine.precision == "bf16"
    return torch.autocast(machine.device.type, dtype=torch.bfloat16) if quick else nullcontext()


class _Parts:
    """The mutable training state."""

    def __init__(self, network: UNet, optimizer: Any, schedule: Any, average: Ema) -> None:
        self.network, self.optimizer, self.schedule, self.average = network, optimizer, schedule, average

    def state(self, step: int) -> dict[str, Any]:
        """What :meth:`take_up` needs, after ``step`` steps."""
        average: dict[str, Tensor] = self.average.state
        return {
            "step": step,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "average": average,
        }

    def take_up(self, state: dict[str, Any] | None) -> int:
        """Restores a saved state; the step to resume from, 0 without one."""
        if state is None:
            return 0
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.average.restore(state["average"])
        return int(state["step"])
