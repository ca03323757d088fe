"""What training minimises: cross-entropy, focal loss or logit-adjusted cross-entropy, on hard or mixed labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def build(
    name: str, *, priors: Sequence[float], label_smoothing: float, focal_gamma: float, adjustment_tau: float
) -> Loss:
    """A function of logits [b, classes], targets [b, classes] (rows sum to 1) and image weights [b], to a scalar.

    The scalar is the weighted mean: weights that sum to nothing give 0. ``priors`` are the classes' shares of an epoch;
    ``focal`` scales by (1 - p)^gamma (Lin et al. 2017); ``logit_adjusted`` adds tau log prior (Menon et al. 2021).
    """
    shift = adjustment_tau * torch.log(torch.tensor(list(priors), dtype=torch.float32).clamp_min(1e-12))

    def loss(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        logits = logits.float()
        if name == "logit_adjusted":
            logits = logits + shift.to(logits.device)
        smooth = targets
        if label_smoothing:
            smooth = targets * (1 - label_smoothing) + label_smoothing / targets.shape[1]
        logs = functional.log_softmax(logits, dim=1)
        if name == "focal":
            logs = logs * (1 - logs.exp()).pow(focal_gamma)
        each = -(smooth * logs).sum(dim=1)
        return (each * weights).sum() / weights.sum().clamp_min(1e-12)

    assert name in ("cross_entropy", "focal", "logit_adjusted"), f"unknown loss {name!r}"
    return loss
