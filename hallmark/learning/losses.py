"""What training minimises: cross-entropy, focal loss or logit-adjusted cross-entropy, on hard or mixed labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

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
    assert name in ("cross_entropy", "focal", "logit_adjusted"), f"unknown loss {name!r}"
    shift = adjustment_tau * torch.log(torch.tensor(list(priors), dtype=torch.float32).clamp_min(1e-12))
    return _Loss(name=name, shift=shift, label_smoothing=label_smoothing, focal_gamma=focal_gamma)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Loss:
    """A class, since a function within a function cannot be given to another process."""

    name: str
    shift: Tensor
    label_smoothing: float
    focal_gamma: float

    def __call__(self, logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        logits = logits.float()
        if self.name == "logit_adjusted":
            logits = logits + self.shift.to(logits.device)
        smooth = targets
        if self.label_smoothing:
            smooth = targets * (1 - self.label_smoothing) + self.label_smoothing / targets.shape[1]
        logs = functional.log_softmax(logits, dim=1)
        if self.name == "focal":
            logs = logs * (1 - logs.exp()).pow(self.focal_gamma)
        each = -(smooth * logs).sum(dim=1)
        mean: Tensor = (each * weights).sum() / weights.sum().clamp_min(1e-12)
        return mean
