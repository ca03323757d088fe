"""The final network of a small set: what validation chose, fitted to training and validation images together.

With a fitted head, a few hundred images decide the accuracy, and a fifth of them only choose the number of epochs. Once
that is chosen, they are worth more as training images. The test images take no part.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import pandas as pd

from hallmark.contracts.tables import PLAN
from hallmark.learning import training
from hallmark.learning.epoch import Silent
from hallmark.learning.recipe import FEWER, Recipe, refits
from hallmark.learning.training_data import TrainingData
from hallmark.sampling import plan as planning

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from hallmark.learning.checkpoints import Checkpoints
    from hallmark.learning.fitted import Fitted
    from hallmark.learning.model_setup import ModelSetup
    from hallmark.learning.plan import TrainingPlan


R = TypeVar("R", bound=Recipe)


def joined(data: TrainingData) -> TrainingData:
    """The training and validation images, without those of a doubted label, as training images.

    A validation image takes the mean weight, repeats and probability of its class's training images.
    """
    table = data.plan.table
    real, synthetic = table.iloc[: data.n_real], table.iloc[data.n_real :]
    sure = [number for number, item in enumerate(data.val_items) if item.path not in data.doubted]
    added = pd.DataFrame(
        {
            "path": [data.val_items[number].path for number in sure],
            "label": [data.val_labels[number] for number in sure],
        },
        dtype="string",
    )
    rows = planning.rows(real, pd.concat([real[["path", "label"]], added], ignore_index=True))
    rows["probability"] *= float(real["probability"].sum())
    whole = pd.concat([rows, synthetic], ignore_index=True).astype(PLAN)[list(PLAN)]  # in the order of the items
    priors = whole.groupby(whole["label"].astype(str))["probability"].sum()
    return TrainingData(
        classes=data.classes,
        plan=replace(data.plan, table=whole, class_priors={name: float(priors[name]) for name in data.classes}),
        n_real=len(rows),
        n_synthetic=data.n_synthetic,
        train_items=[
            *data.train_items[: data.n_real],
            *(data.val_items[number] for number in sure),
            *data.train_items[data.n_real :],
        ],
        val_items=[],
        val_labels=[],
        doubted=data.doubted,
        files=data.files,
        warnings=data.warnings,
    )


def prepared(
    chosen: Recipe, data: TrainingData, setup: ModelSetup, prepare: Callable[..., ModelSetup]
) -> tuple[TrainingData, ModelSetup] | None:
    """What the final network starts with, where it learns from both; ``setup`` is that of the first training."""
    if not refits(chosen, weights=setup.weights, images=data.n_real + len(data.val_items)):
        return None
    whole = joined(data)
    return whole, prepare(whole, recipe=chosen)


def affordable(chosen: Recipe, fitted: Fitted, whole: TrainingData) -> bool:
    """Whether the second training is short, as that of a head alone is, or asked for."""
    return chosen.refit is True or fitted.best_epoch == 0 or whole.n_real <= FEWER


def recipe(chosen: R, fitted: Fitted) -> R:
    """``chosen`` with the values and the number of epochs that ``fitted`` used, without anything to choose by."""
    resolved = fitted.resolved
    return replace(
        chosen,
        max_epochs=max(1, fitted.best_epoch),
        patience=0,
        keep="last",
        lr=resolved.lr,
        batch_size=resolved.batch_size,
    )


def fit(fitted: Fitted, setup: ModelSetup, plan: TrainingPlan, checkpoints: Checkpoints) -> dict[str, Tensor]:
    """The weights after the epochs that ``fitted`` found best, of the network of ``setup``; with none, its first."""
    if fitted.best_epoch == 0:
        return {name: value.detach().cpu().clone() for name, value in setup.network.state_dict().items()}
    return training.train(setup, plan, validation=None, checkpoints=checkpoints, log=Silent()).state
