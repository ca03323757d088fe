"""A backbone: a trained network to start from, with its preprocessing, adapted to other classes.

It is read from a package or training output of ours (``model.json``), a folder of the transformers library
(``config.json``) or a data package (:mod:`hallmark.models.shipped`). Its preprocessing (side, channels, mean, std)
comes with it.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hallmark.contracts import digests, require
from hallmark.contracts.errors import InputError
from hallmark.models.params import BACKBONE, FEW_TO_TUNE, PRETRAINED, Choice

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hallmark.models.params import Model

WEIGHTS = "*.safetensors"
MOST_DETAIL = 320  # pixels: the largest side that a shipped network is given by itself
ASPECT = math.sqrt(4 / 3)
SIDE = 224  # pixels, if neither the preprocessing nor the configuration names a side
#: keys of a configuration that record its origin and do not define the network
_FOREIGN = ("_name_or_path", "transformers_version", "architectures", "id2label", "label2id", "dtype", "torch_dtype")


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """``description``: our model.json, or None; ``config``: transformers' config.json, or None; ``published``: the file
    of a shipped network's weights, or None. ``side`` in pixels; ``mean`` and ``std`` per channel of pixels in [0, 1];
    ``digest``: SHA-256 over its weight files.
    """

    folder: Path
    source: str
    revision: str | None
    digest: str
    side: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    description: dict[str, Any] | None = field(default=None)
    config: dict[str, Any] | None = field(default=None)
    published: Path | None = field(default=None)
    param: str = BACKBONE  # the parameter that names it

    def summary(self) -> dict[str, str | None]:
        """Its source, revision and digest, for model.json and the report."""
        return {"source": self.source, "revision": self.revision, "sha256": self.digest}

    def keeps_head(self, classes: Sequence[str]) -> bool:
        """Whether its last layer already has exactly these classes."""
        return self.description is not None and list(self.description["classes"]) == list(classes)


def read(folder: Path, *, source: str, revision: str | None = None, param: str = BACKBONE) -> Backbone:
    """The backbone in a folder. Raises InputError if there is none, or its weights are not in safetensors."""
    files = sorted(folder.glob(WEIGHTS))
    if not files:
        raise InputError(
            f"{param} '{source}' has no weights in safetensors",
            remedy="save it again with save_pretrained of a current transformers; pickled weights are not read",
        )
    shared: dict[str, Any] = {"folder": folder, "source": source, "revision": revision, "param": param}
    shared["digest"] = digests.of_named((path.name, digests.of_file(path)) for path in files)
    if (folder / "model.json").is_file():
        description = _json(folder / "model.json", source, param)
        shape = description["input"]
        return Backbone(
            **shared,
            side=shape["height"],
            channels=shape["channels"],
            mean=tuple(shape["mean"]),
            std=tuple(shape["std"]),
            description=description,
        )
    if not (folder / "config.json").is_file():
        raise InputError(
            f"{param} '{source}' holds neither config.json nor model.json",
            remedy="give a folder that save_pretrained wrote, a hub id, or models:/<name>@<alias>",
        )
    return _of_transformers(folder, shared)


def _of_transformers(folder: Path, shared: dict[str, Any]) -> Backbone:
    config = _json(folder / "config.json", shared["source"], shared["param"])
    path = folder / "preprocessor_config.json"
    preprocessing = _json(path, shared["source"], shared["param"]) if path.is_file() else {}
    channels = int(config.get("num_channels", 3))
    if channels not in (1, 3):
        raise InputError(
            f"{shared['param']} '{shared['source']}' takes images of {channels} channels", remedy="choose one of 1 or 3"
        )
    normalises = bool(preprocessing.get("do_normalize", "image_mean" in preprocessing))
    mean, std = preprocessing.get("image_mean"), preprocessing.get("image_std")
    return Backbone(
        **shared,
        side=_side(preprocessing, config),
        channels=channels,
        mean=_per_channel(mean, channels) if normalises and mean is not None else (0.0,) * channels,
        std=_per_channel(std, channels) if normalises and std is not None else (1.0,) * channels,
        config=config,
    )


def _side(preprocessing: dict[str, Any], config: dict[str, Any]) -> int:
    """The crop size if any, else the resize size, else the network's image size."""
    for size in (
        preprocessing.get("crop_size") if preprocessing.get("do_center_crop", True) else None,
        preprocessing.get("size"),
        config.get("image_size"),
    ):
        if isinstance(size, dict):
            size = size.get("height", size.get("shortest_edge"))
        if isinstance(size, list | tuple):
            size = size[0]
        if isinstance(size, int):
            return size
    return SIDE


def _per_channel(values: float | Sequence[float], channels: int) -> tuple[float, ...]:
    if isinstance(values, int | float):
        return (float(values),) * channels
    if len(values) == channels:
        return tuple(float(value) for value in values)
    # the preprocessing of a grey network often keeps three equal channels
    return (float(values[0]),) * channels


def choose(backbone: Backbone, model: Model, *, classes: Sequence[str], images: int, side: int, why: str) -> Choice:
    """The network that starts from the backbone, chosen because of ``why``.

    For few ``images``, of the median shorter side ``side``, a shipped network sees more detail than it was trained on
    (Touvron et al. 2019), and its head takes the features of several levels.

    Raises InputError if ``model.channels`` contradicts the backbone.
    """
    require.that(
        model.channels in ("auto", backbone.channels),
        f"is {model.channels}, but the backbone has {backbone.channels}",
        remedy=f"set it to {backbone.channels} or auto",
        field="channels",
    )
    few = backbone.published is not None and images <= FEW_TO_TUNE
    detailed = _detailed(backbone.side, side) if few else backbone.side
    size_why = "the side it was trained on" if detailed == backbone.side else "as much detail as the images have"
    if model.image_size != "auto":
        detailed, size_why = model.image_size, "set by model.image_size"
    name, arguments = architecture(backbone, detailed)
    if few:
        arguments = {**arguments, "levels": True}
    head = "its head kept" if backbone.keeps_head(classes) else "its head replaced"
    why = (
        f"{name}: pretrained, starting from {backbone.source} with {head} ({why}); {detailed} x {detailed} pixels: "
        + f"{size_why}; {'grey' if backbone.channels == 1 else 'colour'} as it was trained"
    )
    return Choice(name=name, side=detailed, channels=backbone.channels, arguments=arguments, why=why)


def _detailed(trained: int, side: int) -> int:
    """A multiple of 32 pixels near the root of the area of photographs (4:3) of this shorter side, within bounds."""
    return min(MOST_DETAIL, max(trained, math.ceil(ASPECT * side / 32) * 32))


def architecture(backbone: Backbone, side: int) -> tuple[str, dict[str, Any]]:
    """Name and arguments of ``models.build`` for the backbone's network on images of ``side`` pixels."""
    if backbone.description is not None:
        return backbone.description["name"], backbone.description["arguments"]
    assert backbone.config is not None
    return PRETRAINED, {"config": _adapted(backbone.config, side)}


def _adapted(config: dict[str, Any], side: int) -> dict[str, Any]:
    adapted = {key: value for key, value in sorted(config.items()) if key not in _FOREIGN}
    if "image_size" in adapted:
        adapted["image_size"] = side
    return adapted


def _json(path: Path, source: str, param: str) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{param} '{source}': {path.name} is not JSON ({error})", remedy="save it again") from error
    return values
