"""The training hyperparameters, and how their ``auto`` values resolve for a data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hallmark.contracts import require
from hallmark.learning import schedules
from hallmark.models.params import PRETRAINED

SCALINGS = ("auto", "unit", "symmetric", "standard")
OPTIMIZERS = ("auto", "sgd", "adam", "adamw", "rmsprop", "muon")
SCHEDULES = ("auto", "constant", "step", "cosine", "one_cycle", "warm_restart", "plateau")
LOSSES = ("auto", "cross_entropy", "focal", "logit_adjusted")
PRECISIONS = ("auto", "fp32", "tf32", "bf16", "fp16")
KEPT = ("auto", "best", "last")

SHOWN = 80_000  # images, over all epochs, that an automatic number of epochs aims at
FEWEST_EPOCHS, MOST_EPOCHS = 12, 40
SHOWN_CHEAPLY = 1_500_000  # the same for a network with cheap steps,
CHEAP_EPOCHS = 24  # up to this many epochs
WORTH_RESTART = 20_000  # images per epoch, from which a short cycle before the long one gives an early result
LARGE = 384  # batch size for many small images: a fifth cheaper per image than 128
MUON_AT_MOST = 0.06  # bound of muon's learning rate, which grows with batches above 128 (Goyal et al. 2017)
#: initial weights: random; pretrained under a random head; under a head fitted to their features; all pretrained
DRAWN, UNDER, FITTED, WHOLE = "drawn", "under", "fitted", "whole"
HEADS = ("auto", "fitted", "drawn")
LEAST_LR = 1e-10  # below it, updates of 32-bit weights round to zero
GENTLER = 2  # divides the learning rate of pretrained networks
FROZEN = 0.1  # share of the steps at first in which only a random head is trained
GENTLE_EPOCHS = 4  # under a fitted head
STILL = 0.4  # share of the layers, from the input, that keep their weights under a fitted head
FEW = 2_000  # training and validation images, up to which a fitted head learns from both in the end,
FEWER = 1_000  # and up to which a fine-tuned network does
WORTH_MUON = 4_000  # images per epoch: with fewer, orthogonalisation costs as much as the gradients of small batches

#: (learning rate, weight decay): L2 for sgd, adam and rmsprop, decoupled for adamw and muon
DEFAULTS = {
    "sgd": (0.05, 5e-4),
    "adam": (2e-3, 1e-5),
    "adamw": (2e-3, 0.05),
    "rmsprop": (1e-3, 1e-5),
    "muon": (0.02, 0.05),
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The hyperparameters of optimisation, which are part of a stage's section of params.yaml."""

    scaling: str
    max_epochs: int | Literal["auto"]
    patience: int
    batch_size: int | Literal["auto", "find"]
    accumulate: int
    optimizer: str
    lr: float | Literal["auto", "find"]
    layer_decay: float | Literal["auto"]
    head: str
    freeze: float | Literal["auto"]
    frozen_layers: float | Literal["auto"]
    freeze_norms: bool | Literal["auto"]
    momentum: float
    weight_decay: float | Literal["auto"]
    l1: float
    schedule: str
    warmup: float
    augment_after: float | Literal["auto"]
    clip_norm: float
    clip_value: float
    loss: str
    label_smoothing: float
    mixup: float
    cutmix: float
    ema: float | Literal["auto"]
    keep: str
    refit: bool | Literal["auto"]
    synthetic_weight: float
    precision: str
    compile: bool
    deterministic: bool

    def __post_init__(self) -> None:
        require.one_of(SCALINGS, scaling=self.scaling)
        require.one_of(OPTIMIZERS, optimizer=self.optimizer)
        require.one_of(SCHEDULES, schedule=self.schedule)
        require.one_of(LOSSES, loss=self.loss)
        require.one_of(PRECISIONS, precision=self.precision)
        require.one_of(KEPT, keep=self.keep)
        require.one_of(HEADS, head=self.head)
        require.in_range(0, 100_000, max_epochs=self.max_epochs)
        require.in_range(1, 65_536, batch_size=self.batch_size)
        require.in_range(LEAST_LR, 10, lr=self.lr)
        require.in_range(0.1, 1, layer_decay=self.layer_decay)
        require.in_range(0, 1, freeze=self.freeze, frozen_layers=self.frozen_layers)
        require.in_range(0, 1, augment_after=self.augment_after, weight_decay=self.weight_decay)
        require.in_range(0, 0.99999, ema=self.ema)
        require.in_range(0, 100_000, patience=self.patience)
        require.in_range(1, 1024, accumulate=self.accumulate)
        require.in_range(0, 0.9999, momentum=self.momentum)
        require.in_range(0, 1, l1=self.l1, synthetic_weight=self.synthetic_weight)
        require.in_range(0, 0.9, warmup=self.warmup)
        require.at_least(0, clip_norm=self.clip_norm, clip_value=self.clip_value)
        require.in_range(0, 0.5, label_smoothing=self.label_smoothing)
        require.in_range(0, 10, mixup=self.mixup, cutmix=self.cutmix)
        require.that(
            self.schedule != "plateau" or self.patience not in (1, 2),
            f"is {self.patience}: training would end before {{schedule}} plateau lowers the learning rate",
            remedy="set it to 3 or more, or to 0 for no early stopping",
            field="patience",
            siblings=["schedule"],
        )
        require.that(
            not (self.clip_norm and self.clip_value),
            "and {clip_value} are both set",
            remedy="set one of them to 0",
            field="clip_norm",
            siblings=["clip_value"],
        )


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """The hyperparameters without ``auto``.

    ``layer_decay`` None: the number of layers decides the decay. ``frozen_layers``: share of the layers below the head
    that keep their weights. ``plain_epochs``: first epochs without augmentation.
    """

    epochs: int
    batch_size: int
    optimizer: str
    lr: float
    weight_decay: float
    ema: float
    layer_decay: float | None
    freeze: float
    frozen_layers: float
    freeze_norms: bool
    schedule: str
    plain_epochs: int


def refits(recipe: Recipe, *, weights: str, images: int) -> bool:
    """Whether the final network learns from the training and validation images, ``images`` in all.

    ``weights`` are the initial ones: DRAWN, UNDER, FITTED or WHOLE.
    """
    return (weights == FITTED and images <= FEW) if recipe.refit == "auto" else recipe.refit


def batch_size(recipe: Recipe, *, images: int) -> int:
    """The batch size: as set, else growing with the data, so that small sets get many steps."""
    if not isinstance(recipe.batch_size, str):
        return min(recipe.batch_size, images)
    for size, below in ((32, 4_000), (64, 8_000), (128, 100_000)):
        if images < below:
            return min(size, images)
    return 256


def resolve(
    recipe: Recipe,
    *,
    images: int,
    network: str,
    weights: str = DRAWN,
    found_batch_size: int | None = None,
) -> Resolved:
    """The hyperparameters for ``images`` images per epoch and the network of that name.

    ``weights`` are its initial weights: DRAWN, UNDER, FITTED or WHOLE. ``found_batch_size`` is the result of ``find``.
    While ``lr`` is ``find``, the learning rate is that of ``auto``. Raises InputError if a head drawn at random is not
    to be trained.
    """
    epochs = recipe.max_epochs
    if epochs == "auto":
        epochs = _epochs(images=images, network=network, weights=weights)
    require.that(
        epochs > 0 or weights in (FITTED, WHOLE),
        "is 0, but the head of the network is drawn at random and has to learn",
        remedy="set it to 1 or more, or to auto",
        field="max_epochs",
    )
    optimizer = recipe.optimizer
    if optimizer == "auto":
        optimizer = "muon" if images >= WORTH_MUON and network in ("cnn", "resnet") and weights == DRAWN else "adamw"
    many = images >= WORTH_RESTART and weights == DRAWN
    size = found_batch_size or batch_size(recipe, images=images)
    if many and recipe.batch_size == "auto" and (network, optimizer) == ("cnn", "muon"):
        size = LARGE
    shown = size * recipe.accumulate
    rate = _rate(optimizer, network=network, weights=weights, shown=shown)
    steps = epochs * -(-images // shown)
    schedule = recipe.schedule
    if schedule == "auto":
        schedule = "warm_restart" if many else "one_cycle"
    plain = recipe.augment_after
    if plain == "auto":
        plain = schedules.FIRST if schedule == "warm_restart" else 0.0
    layer_decay = 1.0 if weights == DRAWN else None
    fitted = weights == FITTED
    freeze = FROZEN if weights == UNDER else 0.0
    return Resolved(
        epochs=epochs,
        batch_size=size,
        optimizer=optimizer,
        lr=rate if isinstance(recipe.lr, str) else recipe.lr,
        weight_decay=DEFAULTS[optimizer][1] if recipe.weight_decay == "auto" else recipe.weight_decay,
        # an average over the last twentieth of the steps
        ema=min(0.9999, max(0.0, 1 - 20 / max(steps, 1))) if recipe.ema == "auto" else recipe.ema,
        layer_decay=layer_decay if recipe.layer_decay == "auto" else recipe.layer_decay,
        freeze=freeze if recipe.freeze == "auto" else recipe.freeze,
        frozen_layers=(STILL if fitted else 0.0) if recipe.frozen_layers == "auto" else recipe.frozen_layers,
        freeze_norms=fitted if recipe.freeze_norms == "auto" else recipe.freeze_norms,
        schedule=schedule,
        plain_epochs=round(epochs * plain),
    )


def _epochs(*, images: int, network: str, weights: str) -> int:
    if weights == FITTED:
        return GENTLE_EPOCHS
    cheap = min(CHEAP_EPOCHS, round(SHOWN_CHEAPLY / images)) if network == "cnn" else 0
    return min(MOST_EPOCHS, max(FEWEST_EPOCHS, cheap, round(SHOWN / images)))


def _rate(optimizer: str, *, network: str, weights: str, shown: int) -> float:
    """The learning rate for optimiser steps of ``shown`` images."""
    rate = DEFAULTS[optimizer][0]
    if optimizer == "muon":
        rate = min(MUON_AT_MOST, rate * max(1.0, shown / 128))
    if network in ("vit", "convnext", PRETRAINED):
        rate /= 2
    if weights != DRAWN:
        rate /= GENTLER
    return rate
