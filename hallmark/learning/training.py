"""A training from end to end: machine, values, batches, loss and validation of the data, finders, and the loop."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hallmark.contracts import telemetry
from hallmark.judgement.objective import score
from hallmark.learning import batch_size_finder, devices, loop, losses, lr_finder, pixels
from hallmark.learning.batches import Batches
from hallmark.learning.plan import TrainingPlan
from hallmark.learning.recipe import resolve
from hallmark.learning.validation import Validation
from hallmark.models import layers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from hallmark.judgement.objective import Objective
    from hallmark.learning.checkpoints import Checkpoints
    from hallmark.learning.devices import Machine
    from hallmark.learning.epoch import Log
    from hallmark.learning.fitted import Fitted
    from hallmark.learning.model_setup import ModelSetup
    from hallmark.learning.recipe import Recipe, Resolved
    from hallmark.learning.training_data import TrainingData


def machine(recipe: Recipe, data: TrainingData, setup: ModelSetup) -> Machine:
    """What the training runs on, noted for reports/run.json."""
    batch_size = _resolved(recipe, data, setup).batch_size
    chosen = devices.machine(recipe.precision, setup.network, (batch_size, *setup.shape), compiled=recipe.compile)
    telemetry.note(
        device=str(chosen.device), precision=chosen.precision, threads=chosen.threads, replicas=chosen.replicas
    )
    return chosen


def resolved(
    recipe: Recipe, data: TrainingData, setup: ModelSetup, machine: Machine, checkpoints: Checkpoints
) -> Resolved:
    """The values of ``recipe`` for these images and this network.

    Runs the batch-size finder if ``batch_size`` is find, once per training. Raises InputError if the batches are too
    small for the network's batch norm.
    """
    size: int | None = None
    if recipe.batch_size == "find":

        def search() -> int:
            return batch_size_finder.search(
                setup.network, setup.shape, images=data.images_per_epoch, machine=machine, classes=len(data.classes)
            )

        size = checkpoints.once("batch_size", search)
    values = _resolved(recipe, data, setup, found_batch_size=size)
    layers.check_batches(setup.network, values.batch_size)
    return values


def _resolved(
    recipe: Recipe, data: TrainingData, setup: ModelSetup, *, found_batch_size: int | None = None
) -> Resolved:
    return resolve(
        recipe,
        images=data.images_per_epoch,
        network=setup.description["name"],
        weights=setup.weights,
        found_batch_size=found_batch_size,
    )


def plan(
    data: TrainingData,
    setup: ModelSetup,
    *,
    transforms: Sequence[dict[str, Any]],
    recipe: Recipe,
    resolved: Resolved,
    seed: int,
    machine: Machine,
) -> TrainingPlan:
    """The plan for training the network of ``setup`` on its images."""
    table = data.plan.table
    batches = Batches(
        setup.images,
        plan=table,
        sampler=data.plan.sampler,
        labels=data.indices(table["label"].astype(str)),
        weights=table["weight"].to_numpy(dtype=np.float32),
        transforms=transforms,
        batch_size=resolved.batch_size,
        seed=seed,
        plain_epochs=resolved.plain_epochs,
        device=machine.device,
    )
    return TrainingPlan(
        batches=batches,
        recipe=recipe,
        resolved=resolved,
        loss=losses.of_plan(data, recipe),
        classes=len(data.classes),
        seed=seed,
        machine=machine,
        head=setup.head,
    )


def validation(data: TrainingData, setup: ModelSetup, objective: Objective) -> Validation | None:
    """The validation images as the network sees them, None if there are none.

    Raises InputError if these classes or images do not define the objective.
    """
    objective.check_classes(data.classes)
    if setup.held_out is None:
        return None
    labels = data.indices(data.val_labels)
    score(objective, labels, np.full((len(labels), len(data.classes)), 1 / len(data.classes)), data.classes)
    return Validation(images=pixels.opened(setup.held_out), labels=labels, objective=objective, classes=data.classes)


def predicted(setup: ModelSetup, fitted: Fitted, validation: Validation | None) -> NDArray[np.float64]:
    """Log probabilities [n, classes] of the validation images, if any, by the trained network."""
    if validation is None:
        return np.zeros((0, len(setup.description["classes"])))
    setup.network.load_state_dict(fitted.state)
    return validation.judge(setup.network, next(setup.network.parameters()).device).logs


def train(
    setup: ModelSetup, plan: TrainingPlan, *, validation: Validation | None, checkpoints: Checkpoints, log: Log
) -> Fitted:
    """Fits the network of ``setup``, after the learning-rate search if ``train.lr`` is find; see :func:`loop.fit`."""
    warnings: list[str] = []
    if validation is None and plan.resolved.schedule == "plateau":
        warnings.append(
            "train.schedule is plateau, but without validation images nothing tells when to lower the learning rate: "
            "it stays constant."
        )
    search: list[dict[str, float]] = []
    if plan.recipe.lr == "find":
        lr, search = checkpoints.once("lr", lambda: lr_finder.search(setup.network, plan))
        if lr_finder.is_inconclusive(search):
            warnings.append(
                f"train.lr is find, but up to {search[-1]['lr']:g} no rate was too high for so few images: the rate "
                f"of auto is used, {plan.resolved.lr:g}."
            )
        else:
            plan = replace(plan, resolved=replace(plan.resolved, lr=lr))
    fitted = loop.fit(setup.network, plan, validation=validation, checkpoints=checkpoints, log=log)
    return replace(fitted, search=search, warnings=[*warnings, *fitted.warnings])
