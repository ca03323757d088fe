"""Fine-tuned weights are kept where the validation images show them better, not where they cannot tell."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from hallmark.judgement.objective import Objective
from hallmark.learning import selection
from hallmark.learning.train_step import Swapped
from hallmark.learning.validation import Validation


class Fixed(torch.nn.Module):
    """Logits of each image from a table: image i has the pixel i."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(logits)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits[(images[:, 0, 0, 0] * 255).round().long()]


def case(right_before: int, right_after: int, n: int = 72) -> tuple[Any, Any, Any, Any]:
    """Two states of a network that is right on so many of n images, and what judges them."""
    labels = np.arange(n) % 2

    def logits(right: int) -> torch.Tensor:
        answers = np.where(np.arange(n) < right, labels, 1 - labels)
        return torch.from_numpy(np.eye(2)[answers] * 4.0).float()

    before, after = ({"logits": logits(right)} for right in (right_before, right_after))
    network = Fixed(logits(right_before))
    step = SimpleNamespace(
        network=network, device=torch.device("cpu"), fabric=None, replicas=None,
        holding=lambda state: Swapped(network, state),
    )  # fmt: skip
    pixels = np.arange(n, dtype=np.uint8).reshape(n, 1, 1, 1)
    judge = Validation(images=pixels, labels=labels, objective=Objective(metric="accuracy"), classes=["a", "b"])
    return before, after, step, judge


def test_a_difference_within_its_standard_error_is_none() -> None:
    before, after, step, judge = case(64, 65)
    assert not selection.is_better(after, before, by=1.0, train_step=step, validation=judge)
    assert not selection.is_better(before, after, by=1.0, train_step=step, validation=judge)


def test_a_sure_difference_is_one_in_one_direction() -> None:
    before, after, step, judge = case(55, 68)
    assert selection.is_better(after, before, by=2.0, train_step=step, validation=judge)
    assert not selection.is_better(before, after, by=0.0, train_step=step, validation=judge)


def test_equal_weights_are_not_better_and_the_network_keeps_its_own() -> None:
    before, _, step, judge = case(64, 65)
    assert not selection.is_better(before, dict(before), by=0.0, train_step=step, validation=judge)
    torch.testing.assert_close(step.network.logits.detach(), before["logits"])
