"""What a training starts with: the images as the network will see them, and the network with its first weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hallmark.contracts.seeds import derive
from hallmark.learning import devices, linear_head, losses, pixels
from hallmark.learning.recipe import DRAWN, FITTED, UNDER, WHOLE, batch_size
from hallmark.models import backbone as backbones
from hallmark.models import features, params, transfer
from hallmark.models.weights import network as untrained

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch import nn

    from hallmark.learning.linear_head import LinearHead
    from hallmark.learning.recipe import Recipe
    from hallmark.learning.training_data import TrainingData
    from hallmark.models.backbone import Backbone
    from hallmark.models.params import Model


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelSetup:
    """``description`` is model.json's; ``images`` and ``held_out`` are .npy files (see :mod:`pixels`); ``why`` tells
    how the network was chosen; ``weights`` says whose it starts with: :data:`recipe.DRAWN`, all drawn anew,
    :data:`recipe.UNDER`, trained ones under a head drawn anew, :data:`recipe.FITTED`, under ``head``, which was fitted
    to their features, or :data:`recipe.WHOLE`, trained ones with their head.
    """

    description: dict[str, Any]
    network: nn.Module
    images: Path
    held_out: Path | None
    why: str
    weights: str
    warnings: list[str]
    backbone: Backbone | None
    head: LinearHead | None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        seen = self.description["input"]
        return seen["channels"], seen["height"], seen["width"]


def prepare(
    model: Model, data: TrainingData, *, recipe: Recipe, seed: int, cache: Path, find: Callable[[str], Backbone]
) -> ModelSetup:
    """Chooses the network, prepares the images for it, and draws its weights or takes the backbone's.

    ``find`` returns the backbone of a name.
    """
    survey = pixels.survey(data.train_items[: data.n_real])
    warnings = []
    start, why = model.starts_from(images=data.n_real, side=survey.side)
    backbone = None if start is None else find(start)
    if backbone is not None:
        chosen = backbones.choose(backbone, model, classes=data.classes, images=data.n_real, side=survey.side, why=why)
        if chosen.channels == 1 and not survey.grey:
            warnings.append("The images have colour, but the backbone was trained on grey ones: colour is not used.")
    else:
        chosen = params.choose(
            model,
            images=data.n_real,
            classes=len(data.classes),
            side=survey.side,
            grey=survey.grey,
            batch_size=batch_size(recipe, images=data.images_per_epoch),
        )
    shape = {"height": chosen.side, "width": chosen.side, "channels": chosen.channels, "bits": survey.bits}
    images = pixels.prepared(data.train_items, **shape, cache=cache)
    held_out = pixels.prepared(data.val_items, **shape, cache=cache) if data.val_items else None
    description: dict[str, Any] = {
        "name": chosen.name,
        "classes": data.classes,
        "arguments": chosen.arguments,
        "input": {**shape, **_scaling(recipe.scaling, backbone, images, real=data.n_real)},
    }
    if backbone is not None:
        description["backbone"] = backbone.summary()
    network = _network(description, backbone, seed=derive(seed, "train", "init"))
    head, weights = None, DRAWN
    if backbone is not None:
        weights = WHOLE if backbone.keeps_head(data.classes) else UNDER
    if backbone is not None and weights == UNDER and recipe.head != "drawn":
        weights, head = (
            FITTED,
            _head(backbone, description, data, images, widths=transfer.widths(network), recipe=recipe, seed=seed),
        )
        head.onto(network)
    return ModelSetup(
        description=description,
        network=network,
        images=images,
        held_out=held_out,
        why=chosen.why,
        weights=weights,
        warnings=warnings,
        backbone=backbone,
        head=head,
    )


def _head(
    backbone: Backbone,
    description: dict[str, Any],
    data: TrainingData,
    images: Path,
    *,
    widths: Sequence[int],
    recipe: Recipe,
    seed: int,
) -> LinearHead:
    """The head fitted to the backbone's features of the training images, weighted as an epoch shows them."""
    shape = description["input"]
    # the side, scaling and levels of this training, which may not be the backbone's own
    seen = replace(backbone, side=shape["height"], mean=tuple(shape["mean"]), std=tuple(shape["std"]))
    if backbone.description is not None:
        seen = replace(seen, description={**backbone.description, "arguments": description["arguments"]})
    stored = pixels.opened(images)
    values = features.cached(
        seen,
        [item.digest for item in data.train_items],
        lambda rows: (stored[row] for row in rows),
        bits=shape["bits"],
        device=devices.select_device(),
    )
    table = data.plan.table
    weights = table["weight"].to_numpy("float64") * table["probability"].to_numpy("float64")
    loss = losses.of_plan(data, recipe)
    shift = loss.shift.numpy().astype("float64") if loss.name == "logit_adjusted" else np.zeros(len(data.classes))
    labels = data.indices(table["label"].astype(str))
    return linear_head.fit(values, labels, weights, widths=widths, shift=shift, seed=derive(seed, "train", "head"))


def _scaling(requested: str, backbone: Backbone | None, images: Path, *, real: int) -> dict[str, Any]:
    """``scaling``, ``mean`` and ``std`` of the input: the backbone's, or measured on the first ``real`` images."""
    scaling = requested if requested != "auto" else ("standard" if backbone is None else "backbone")
    if backbone is not None and scaling == "backbone":
        mean, std = list(backbone.mean), list(backbone.std)
    else:
        mean, std = pixels.scaling(scaling, pixels.opened(images)[:real])
    return {"scaling": scaling, "mean": mean, "std": std}


def _network(description: dict[str, Any], backbone: Backbone | None, *, seed: int) -> nn.Module:
    """The network with its first weights: drawn, or the backbone's under a head that is drawn where it has none."""
    if backbone is None:
        return untrained(description, seed=seed)
    return transfer.initial(backbone, description, seed=seed)
