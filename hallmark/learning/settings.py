"""What a training is carried out with, value by value, for whoever compares trainings: no value is ``auto``."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from hallmark.learning.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hallmark.judgement.objective import Objective
    from hallmark.learning.fitted import Fitted
    from hallmark.learning.model_setup import ModelSetup
    from hallmark.learning.plan import TrainingPlan
    from hallmark.learning.training_data import TrainingData
    from hallmark.models.params import Model

FIND = "find"
NAMES = tuple(field.name for field in dataclasses.fields(Recipe))  # of a Recipe alone: a stage's Params are more


def executed(
    plan: TrainingPlan,
    *,
    data: TrainingData,
    setup: ModelSetup,
    transforms: Sequence[Mapping[str, Any]],
    objective: Objective,
) -> dict[str, object]:
    """The values by the names that params.yaml gives them in ``train``, and those of the network and the data.

    ``lr`` and ``keep`` are left out where they are still to be found.
    """
    from hallmark.judgement.objective import describe

    recipe, layers = plan.recipe, plan.resolved.layer_decay
    values: dict[str, object] = {name: getattr(recipe, name) for name in NAMES} | dataclasses.asdict(plan.resolved)
    values |= {
        "layer_decay": "by the number of layers" if layers is None else layers,
        "loss": data.plan.loss if recipe.loss == "auto" else recipe.loss,
        "precision": plan.machine.precision,
        "augmentations": ", ".join(f"{each['name']} p={each['p']:g}" for each in transforms) or "none",
        "objective": describe(objective),
        "seed": plan.seed,
        **_of_network(setup),
        **_of_data(data),
    }
    for name in ("max_epochs", "augment_after"):  # what they became is `epochs` and `plain_epochs`
        del values[name]
    if recipe.keep == "auto":  # what it became is known in the end
        del values["keep"]
    if recipe.lr == FIND:
        del values["lr"]
    return {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in values.items()}


def _of_network(setup: ModelSetup) -> dict[str, object]:
    description, seen = setup.description, setup.description["input"]
    values = {
        "model": description["name"],
        "n_parameters": sum(parameter.numel() for parameter in setup.network.parameters()),
        "image_size": seen["height"],
        "channels": seen["channels"],
        "scaling": seen["scaling"],
    }
    values |= {f"model.{name}": value for name, value in description["arguments"].items() if _is_plain(value)}
    if description.get("backbone"):
        values["backbone"] = description["backbone"].get("source", "")
    return values


def _of_data(data: TrainingData) -> dict[str, object]:
    return {
        "balance": data.plan.strategy,
        "n_train": data.n_real,
        "n_synthetic": data.n_synthetic,
        "n_val": len(data.val_items),
        "n_classes": len(data.classes),
    }


def decided(fitted: Fitted, values: Mapping[str, object]) -> dict[str, object]:
    """The values that :func:`executed` leaves out, as the training decided them."""
    last = fitted.best_epoch == len(fitted.history)
    late = {"lr": float(f"{fitted.resolved.lr:.6g}"), "keep": "last" if last else "best"}
    return {name: value for name, value in late.items() if name not in values}


def left_open(recipe: Recipe, model: Model) -> dict[str, str]:
    """The values that params.yaml leaves open, as they are written there: ``auto`` and ``find``, by their keys."""
    written = {f"train.{name}": getattr(recipe, name) for name in NAMES}
    written |= {f"model.{name}": value for name, value in dataclasses.asdict(model).items()}
    return {key: value for key, value in written.items() if isinstance(value, str) and value in ("auto", FIND)}


def title(values: Mapping[str, object]) -> str:
    """A short name that identifies a training.

    >>> title({"model": "cnn", "image_size": 32, "optimizer": "muon", "lr": 0.02, "seed": 0})
    'cnn 32 px, muon, lr 0.02'
    """
    rate = f"lr {values['lr']:g}" if "lr" in values else "lr searched"
    return f"{values['model']} {values['image_size']} px, {values['optimizer']}, {rate}"


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float | bool)
