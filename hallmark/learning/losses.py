"""Training losses: cross-entropy, focal loss and logit-adjusted cross-entropy, for hard or mixed labels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from hallmark.learning.recipe import Recipe
    from hallmark.learning.training_data import TrainingData


def build(
    name: str,
    *,
    priors: Sequence[float],
    label_smoothing: float,
    focal_gamma: float,
    adjustment_tau: float,
    weights: Sequence[float] | None = None,
) -> Loss:
    """The loss of that name.

    ``priors`` [classes] are the shares of the classes in an epoch, ``weights`` [classes] the mean weights of their
    images (default: 1). ``focal`` scales by (1 - p)^gamma (Lin et al. 2017). ``logit_adjusted`` adds tau log prior to
    the logits (Menon et al. 2021), where the prior is the class's share of the total weight: weights that balance the
    classes leave nothing to adjust.
    """
    assert name in ("cross_entropy", "focal", "logit_adjusted"), f"unknown loss {name!r}"
    shares = torch.tensor(list(priors), dtype=torch.float32)
    weighed = shares if weights is None else shares * torch.tensor(list(weights), dtype=torch.float32)
    shift = adjustment_tau * torch.log((weighed / weighed.sum().clamp_min(1e-12)).clamp_min(1e-12))
    return Loss(name=name, shift=shift, weighed=weighed, label_smoothing=label_smoothing, focal_gamma=focal_gamma)


def of_plan(data: TrainingData, recipe: Recipe) -> Loss:
    """The loss for the images of a sampling plan, as the recipe or else the plan names it."""
    table = data.plan.table
    # of the images that an epoch shows
    weights = (table["weight"] * table["probability"]).groupby(table["label"]).sum() / table["probability"].groupby(
        table["label"]
    ).sum()
    return build(
        data.plan.loss if recipe.loss == "auto" else recipe.loss,
        priors=[data.plan.class_priors[label] for label in data.classes],
        label_smoothing=recipe.label_smoothing,
        focal_gamma=data.plan.focal_gamma,
        adjustment_tau=data.plan.adjustment_tau,
        weights=[weights[label] for label in data.classes],
    )


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Loss:
    """Maps logits [b, classes], targets [b, classes] (rows sum to 1) and image weights [b] to a scalar.

    The scalar is the weighted mean of the losses, 0 if all weights are 0. ``weighed`` [classes] is proportional to the
    total weight of each class.
    """

    name: str
    shift: Tensor
    weighed: Tensor
    label_smoothing: float
    focal_gamma: float

    @cached_property
    def guessing(self) -> float:
        """The least loss of a constant prediction."""
        from scipy.optimize import minimize

        classes = len(self.weighed)
        start = torch.log(self.weighed.clamp_min(1e-12) / self.weighed.sum().clamp_min(1e-12))

        def value(answer: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            logits = torch.from_numpy(answer).float().requires_grad_()
            loss = self(logits.expand(classes, classes), torch.eye(classes), self.weighed)
            (slope,) = torch.autograd.grad(loss, logits)
            return float(loss.detach()), slope.double().numpy()

        return float(minimize(value, start.double().numpy(), jac=True, method="L-BFGS-B").fun)

    def __call__(self, logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        logits = logits.float()
        if self.name == "logit_adjusted":
            logits = logits + self.shift.to(logits.device)
        smooth = targets
        if self.label_smoothing:
            smooth = targets * (1 - self.label_smoothing) + self.label_smoothing / targets.shape[1]
        logs = functional.log_softmax(logits, dim=1)
        if self.name == "focal":
            # the gradient of a fractional power is infinite at 0
            logs = logs * (1 - logs.exp()).clamp_min(1e-7).pow(self.focal_gamma)
        each = -(smooth * logs).sum(dim=1)
        mean: Tensor = (each * weights).sum() / weights.sum().clamp_min(1e-12)
        return mean
