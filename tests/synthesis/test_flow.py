"""The network accepts any small image; integrating a known velocity reaches its goal."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from hallmark.synthesis import flow
from hallmark.synthesis.presets import PRESETS, patch_of
from hallmark.synthesis.unet import UNet


class Straight(nn.Module):
    """The velocity of the straight line to ``goal[label]``."""

    def __init__(self, goals: Tensor) -> None:
        super().__init__()
        self.goals = goals

    def forward(self, images: Tensor, times: Tensor, labels: Tensor) -> Tensor:
        out: Tensor = (self.goals[labels] - images) / (1 - times[:, None, None, None]).clamp(min=1e-3)
        return out


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 13), (1, 5, 4), (1, 28, 28), (3, 48, 45)])
def test_velocity_has_the_shape_of_the_images(shape: tuple[int, int, int]) -> None:
    channels, height, width = shape
    with torch.random.fork_rng(devices=[]):
        network = UNet(classes=3, height=height, width=width, channels=channels, features=16, blocks=2)
    images = torch.zeros(2, *shape)
    out = network(images, torch.tensor([0.0, 1.0]), torch.tensor([0, 3]))
    assert out.shape == images.shape
    out.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_drawing_arrives_at_the_goal_of_the_class() -> None:
    goals = torch.stack([torch.full((1, 2, 2), value) for value in (-1.0, 2.0, 0.5)])
    noise = torch.randn(2, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    drawn = flow.draw(Straight(goals), torch.tensor([0, 1]), noise, none=2, guidance=1.0, steps=4)
    assert torch.allclose(drawn, goals[[0, 1]], atol=1e-5)


def test_guidance_leads_away_from_no_class() -> None:
    goals = torch.stack([torch.full((1, 2, 2), value) for value in (1.0, 0.0)])
    noise = torch.randn(1, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    drawn = flow.draw(Straight(goals), torch.tensor([0]), noise, none=1, guidance=1.5, steps=4)
    assert torch.allclose(drawn, torch.full((1, 1, 2, 2), 1.5), atol=1e-5)


def test_the_right_velocity_has_no_loss() -> None:
    goals = torch.full((1, 1, 2, 2), 3.0)
    random = torch.Generator().manual_seed(0)
    noise, times = torch.randn(5, 1, 2, 2, generator=random), torch.rand(5, generator=random) * 0.9
    labels = torch.zeros(5, dtype=torch.int64)
    right = flow.loss(Straight(goals), goals[labels], labels, noise, times)
    assert float(right) == pytest.approx(0.0, abs=1e-8)
    assert float(flow.loss(Straight(-goals), goals[labels], labels, noise, times)) > 1


def test_presets_grow_and_count_steps_by_the_size_of_the_images() -> None:
    steps = [preset.steps_for(28, 28) * preset.batch for preset in PRESETS.values()]
    assert steps == sorted(steps)
    assert patch_of(64, 64) == 2
    assert PRESETS["short"].steps_for(64, 64) < PRESETS["short"].steps_for(28, 28) < PRESETS["short"].steps_for(16, 16)
