"""Warnings of a training that goes wrong."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from hallmark.learning import monitoring
from hallmark.learning.monitoring import Warned


def row(**changes: Any) -> dict[str, Any]:
    usual = {
        "train_loss": 0.3, "train_accuracy": 0.95, "val_loss": 0.4, "val_accuracy": 0.93, "gradient_norm": 1.0,
        "gradient_balance": 0.5, "inactive_units": 0.01,
    }  # fmt: skip
    return usual | changes


@pytest.mark.parametrize(
    ("history", "kind", "words"),
    [
        ([row(), row(train_loss=1.2)], Warned.DIVERGENCE, "Divergence: the training loss rose from 0.3 to 1.2"),
        ([row(train_loss=2.3)] * 6, Warned.NOT_LEARNING, "hardly learns"),
        ([row(inactive_units=0.7)], Warned.DEAD_ACTIVATIONS, "Dead activations: 70%"),
        ([row(gradient_balance=1e-6)] * 3, Warned.VANISHING_GRADIENTS, "Vanishing gradients"),
        ([row(gradient_norm=5e4)], Warned.EXPLODING_GRADIENTS, "Exploding gradients"),
        ([row(train_accuracy=1.0, val_accuracy=0.6)], Warned.OVERFITTING, "Overfitting: 100% of the training images"),
    ],
)
def test_each_fault_has_a_kind_and_words(history: list[dict[str, Any]], kind: Warned, words: str) -> None:
    ((only, warning),) = monitoring.warnings(history, guessing=2.303, lr=0.1).items()
    assert only == kind
    assert words in warning


def test_a_good_training_is_not_warned_of() -> None:
    assert monitoring.warnings([row(), row(train_loss=0.2)], guessing=2.303, lr=0.1) == {}


def test_stuck_units_are_counted() -> None:
    layer = nn.Linear(4, 10)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.copy_(torch.tensor([-1.0] * 4 + [1.0] * 6))
    x = torch.rand(5, 4)
    assert monitoring.inactive_units(nn.Sequential(layer, nn.ReLU()), x) == pytest.approx(0.4)
    with torch.no_grad():
        layer.bias.mul_(9)
    assert monitoring.inactive_units(nn.Sequential(layer, nn.Sigmoid()), x) == pytest.approx(1.0)
    assert monitoring.inactive_units(nn.Sequential(layer, nn.GELU()), x) is None
