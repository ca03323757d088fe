"""A small training, for tests to change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_digits

from hallmark.judgement.objective import Objective
from hallmark.learning import losses
from hallmark.learning.batches import Batches
from hallmark.learning.checkpoints import Checkpoints
from hallmark.learning.devices import Machine
from hallmark.learning.loop import fit
from hallmark.learning.plan import TrainingPlan
from hallmark.learning.recipe import Recipe, resolve
from hallmark.learning.validation import Validation
from hallmark.models.build import build

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from hallmark.learning.fitted import Fitted

RECIPE = Recipe(
    scaling="auto", max_epochs="auto", patience=0, batch_size="auto", accumulate=1, optimizer="adamw", lr="auto",
    layer_decay="auto", head="auto", freeze="auto", frozen_layers="auto",
    freeze_norms="auto", momentum=0.9, weight_decay="auto", l1=0.0, schedule="one_cycle", warmup=0.2,
    augment_after="auto", clip_norm=1.0, clip_value=0.0, loss="auto", label_smoothing=0.0, mixup=0.0, cutmix=0.0,
    ema="auto", keep="best", refit="auto", synthetic_weight=0.5, precision="auto", compile=False, deterministic=True,
)  # fmt: skip

CPU = Machine(device=torch.device("cpu"), precision="fp32", threads=1)


@dataclass
class Recorded:
    """A log that keeps its entries."""

    steps: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    images: list[tuple[str, int]] = field(default_factory=list)

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        self.steps.append((step, dict(values)))

    def image(self, name: str, pixels: NDArray[np.uint8], step: int) -> None:
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        self.images.append((name, step))


def batches(
    root: Path, *, count: int = 96, batch_size: int = 16, transforms: Any = (), plain_epochs: int = 0
) -> Batches:
    bunch = load_digits()
    path = root / "images.npy"
    np.save(path, (bunch.images[:count, :, :, None] * 15).astype(np.uint8))
    plan = pd.DataFrame({"repeats": np.ones(count, int), "probability": np.full(count, 1 / count)})
    return Batches(
        path, plan=plan, sampler="sequential", labels=bunch.target[:count].astype(np.int64),
        weights=np.ones(count, np.float32), transforms=list(transforms), batch_size=batch_size, seed=0,
        plain_epochs=plain_epochs,
    )  # fmt: skip


def validation() -> Validation:
    bunch = load_digits()
    return Validation(
        images=(bunch.images[1000:1100, :, :, None] * 15).astype(np.uint8),
        labels=bunch.target[1000:1100].astype(np.int64),
        objective=Objective(metric="accuracy"),
        classes=[str(digit) for digit in range(10)],
    )


def plan(data: Batches, recipe: Recipe, *, name: str = "cnn", machine: Machine = CPU, seed: int = 0) -> TrainingPlan:
    loss = losses.build(
        "cross_entropy" if recipe.loss == "auto" else recipe.loss,
        priors=[0.1] * 10, label_smoothing=recipe.label_smoothing, focal_gamma=2.0, adjustment_tau=1.0,
    )  # fmt: skip
    return TrainingPlan(
        batches=data, recipe=recipe, resolved=resolve(recipe, images=data.images_per_epoch, network=name), loss=loss,
        classes=10, seed=seed, machine=machine,
    )  # fmt: skip


def run(
    root: Path,
    recipe: Recipe,
    *,
    name: str = "cnn",
    arguments: Mapping[str, Any] | None = None,
    data: Batches | None = None,
    held_out: Validation | None = None,
    checkpoints: Checkpoints | None = None,
    log: Recorded | None = None,
    machine: Machine = CPU,
    seed: int = 0,
) -> Fitted:
    data = data or batches(root)
    arguments = {"units": 8, "depth": 2, "dropout": 0.1} if arguments is None else arguments
    network = build(name, classes=10, height=8, width=8, channels=1, mean=[0.3], std=[0.4], seed=seed, **arguments)
    return fit(
        network,
        plan(data, recipe, name=name, machine=machine, seed=seed),
        validation=held_out,
        checkpoints=checkpoints or Checkpoints(root / "checkpoints", "key"),
        log=log or Recorded(),
    )


def same(first: Fitted, second: Fitted) -> bool:
    """Whether two trainings gave the same weights, bit for bit, and the same history."""
    equal = all(torch.equal(first.state[name], second.state[name]) for name in first.state)
    return equal and first.history == second.history and first.best_epoch == second.best_epoch
