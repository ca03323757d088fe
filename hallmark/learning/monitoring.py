"""Early warnings of a training that goes wrong, in words, from what its epochs recorded."""

from __future__ import annotations

import math
from enum import StrEnum, auto
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hallmark.learning import ema

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hallmark.learning.recipe import Resolved

    Row = Mapping[str, Any]

INACTIVE = 0.5  # share of units
VANISHING = 1e-4  # mean gradient of the first layer by that of the last
EXPLODING = 1e3  # gradient norm
GAP = 0.15  # accuracy
ROSE = 1.5  # training loss by its least, or its least by that of guessing


class Warned(StrEnum):
    """What goes wrong in a training."""

    DIVERGENCE = auto()
    NOT_LEARNING = auto()
    DEAD_ACTIVATIONS = auto()
    VANISHING_GRADIENTS = auto()
    EXPLODING_GRADIENTS = auto()
    OVERFITTING = auto()


@torch.no_grad()
def inactive_units(network: nn.Module, images: Tensor) -> float | None:
    """The share of units whose activation is stuck for all images [b, c, h, w]; None where no unit can get stuck.

    Stuck is 0 for ReLU, and within 2 % of an end of the range for sigmoid and tanh.
    """
    counts: list[tuple[Tensor, int]] = []

    def hook(module: nn.Module, _: Any, out: Tensor) -> None:
        axis = out.ndim - 1 if out.ndim == 3 else 1
        units = out.detach().movedim(axis, 0).flatten(1)
        if isinstance(module, nn.ReLU):
            stuck = (units <= 0).all(dim=1)
        else:
            low, high = (0.02, 0.98) if isinstance(module, nn.Sigmoid) else (-0.96, 0.96)
            stuck = (units < low).all(dim=1) | (units > high).all(dim=1)
        counts.append((stuck.sum(), len(stuck)))

    handles = [
        module.register_forward_hook(hook)
        for module in network.modules()
        if isinstance(module, nn.ReLU | nn.Sigmoid | nn.Tanh)
    ]
    training = network.training
    try:
        network.eval()(images)
    finally:
        network.train(training)
        for handle in handles:
            handle.remove()
    total = sum(count for _, count in counts)
    return sum(int(stuck) for stuck, _ in counts) / total if total else None


def gradient_balance(matrices: Sequence[nn.Parameter]) -> float | None:
    """The root mean square of the first layer's gradient by that of the last; None for a single layer."""
    grads = [parameter.grad for parameter in matrices if parameter.grad is not None]
    if len(grads) < 2:
        return None
    first, last = (float(grad.float().pow(2).mean().sqrt()) for grad in (grads[0], grads[-1]))
    return first / last if last > 0 and math.isfinite(first) and math.isfinite(last) else None


def lost(epoch: int, *, lr: float) -> str:
    """The warning of a training that ended in ``epoch`` because its loss was no longer finite."""
    return (
        f"Divergence: in epoch {epoch} the loss stopped being a number, so training ended there and the best weights "
        f"from before are kept; lower train.lr (now {lr:g}) or set train.clip_norm to 1."
    )


def without_effect(resolved: Resolved, *, steps: int, has_muon: bool) -> list[str]:
    """Settings that could not act as written in a training of ``steps`` steps."""
    warnings = []
    if resolved.optimizer == "muon" and not has_muon:
        warnings.append(
            "train.optimizer is muon, but the network has no layer between its first and its last: AdamW trained "
            "it, at a tenth of the rate."
        )
    last = ema.decay(resolved.ema, steps - 1)
    if last < resolved.ema:
        warnings.append(
            f"train.ema is {resolved.ema:g}, but the average reaches back over a twentieth of the steps at most: in "
            f"this training of {steps} steps the decay was at most {last:.4g}."
        )
    return warnings


def warnings(history: Sequence[Row], *, guessing: float, lr: float) -> dict[Warned, str]:
    """What a beginner should know of this training, by kind; each names the setting that helps.

    ``guessing`` is the loss of the best answer that looks at no image.
    """
    if not history:
        return {}
    return _of_losses(history, guessing=guessing, lr=lr) | _of_units_and_gradients(history) | _of_accuracy(history[-1])


def _of_losses(history: Sequence[Row], *, guessing: float, lr: float) -> dict[Warned, str]:
    losses = [row["train_loss"] for row in history]
    last, least = losses[-1], min(losses)
    if last > ROSE * least and last - least > 0.1:
        return {
            Warned.DIVERGENCE: f"Divergence: the training loss rose from {least:.3g} to {last:.3g}, so the steps are "
            f"too long; lower train.lr (now {lr:g})."
        }
    if least > ROSE * guessing:
        return {
            Warned.DIVERGENCE: f"Divergence: the training loss never came below {least:.3g}, and guessing gives "
            f"{guessing:.3g}, so the steps are too long; lower train.lr (now {lr:g})."
        }
    if len(history) >= 5 and least > 0.95 * guessing:
        return {
            Warned.NOT_LEARNING: f"The network hardly learns: its training loss stays at {least:.3g}, and guessing "
            f"gives {guessing:.3g}; try another train.lr (now {lr:g}), a larger model or weaker augmentation."
        }
    return {}


def _of_units_and_gradients(history: Sequence[Row]) -> dict[Warned, str]:
    messages: dict[Warned, str] = {}
    stuck = [row["inactive_units"] for row in history if row["inactive_units"] is not None]
    if stuck and stuck[-1] > INACTIVE:
        messages[Warned.DEAD_ACTIVATIONS] = (
            f"Dead activations: {stuck[-1]:.0%} of the units give the same output for every image; lower train.lr or "
            "choose model.activation gelu or silu."
        )
    balances = [row["gradient_balance"] for row in history if row["gradient_balance"] is not None]
    median = sorted(balances)[len(balances) // 2] if balances else 1.0
    if median < VANISHING:
        messages[Warned.VANISHING_GRADIENTS] = (
            f"Vanishing gradients: the first layer's are {median:.1g} of the last layer's, so it hardly learns; "
            "choose model.norm batch, model.activation relu or gelu, or fewer layers."
        )
    norms = [row["gradient_norm"] for row in history]
    if max(norms) > EXPLODING:
        messages[Warned.EXPLODING_GRADIENTS] = (
            f"Exploding gradients: their norm reached {max(norms):.3g}; lower train.lr or set train.clip_norm to 1."
        )
    return messages


def _of_accuracy(last: Row) -> dict[Warned, str]:
    if last["val_accuracy"] is not None and last["train_accuracy"] - last["val_accuracy"] > GAP:
        return {
            Warned.OVERFITTING: f"Overfitting: {last['train_accuracy']:.0%} of the training images are right, but only "
            f"{last['val_accuracy']:.0%} of the validation images; more images, stronger augmentation, model.dropout "
            "or train.weight_decay help."
        }
    return {}
