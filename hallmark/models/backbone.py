"""A trained network to start from: where it lies, what it saw, and what it becomes for other classes.

Two kinds of folder are read: a package or training output of ours (``model.json``), and one of the transformers library
(``config.json``). Its own preprocessing goes with it: side, channels, mean and spread of what it was trained on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hallmark.contracts import digests, require
from hallmark.contracts.errors import InputError
from hallmark.models.params import BACKBONE, PRETRAINED, Choice

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hallmark.models.params import Model

WEIGHTS = "*.safetensors"
SIDE = 224  # pixels, where neither the preprocessing nor the configuration say
#: what of a configuration says where it came from, not what the network is
_FOREIGN = ("_name_or_path", "transformers_version", "architectures", "id2label", "label2id", "dtype", "torch_dtype")


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """``description`` is our model.json, or None; ``config`` transformers' config.json, or None. ``side`` in pixels,
    ``mean`` and ``std`` per channel of pixels in [0, 1]; ``digest``: SHA-256 of its weights' files.
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
    where: str = BACKBONE  # the param that names it

    def summary(self) -> dict[str, str | None]:
        """What model.json and the report say of it."""
        return {"source": self.source, "revision": self.revision, "sha256": self.digest}

    def keeps_head(self, classes: Sequence[str]) -> bool:
        """Whether its last layer already answers for exactly these classes."""
        return self.description is not None and list(self.description["classes"]) == list(classes)


def read(folder: Path, *, source: str, revision: str | None = None, where: str = BACKBONE) -> Backbone:
    """The backbone in a folder. Raises InputError where it holds none, or one without safetensors weights."""
    files = sorted(folder.glob(WEIGHTS))
    if not files:
        raise InputError(
            f"{where} '{source}' has no weights in safetensors",
            remedy="save it anew with save_pretrained of a current transformers; pickled weights are not read",
        )
    shared: dict[str, Any] = {"folder": folder, "source": source, "revision": revision, "where": where}
    shared["digest"] = digests.of_named((path.name, digests.of_file(path)) for path in files)
    if (folder / "model.json").is_file():
        description = _json(folder / "model.json", source, where)
        seen = description["input"]
        return Backbone(
            **shared,
            side=seen["height"],
            channels=seen["channels"],
            mean=tuple(seen["mean"]),
            std=tuple(seen["std"]),
            description=description,
        )
    if not (folder / "config.json").is_file():
        raise InputError(
            f"{where} '{source}' holds neither config.json nor model.json",
            remedy="give a folder that save_pretrained wrote, a hub id, or models:/<name>@<alias>",
        )
    return _of_transformers(folder, shared)


def _of_transformers(folder: Path, shared: dict[str, Any]) -> Backbone:
    config = _json(folder / "config.json", shared["source"], shared["where"])
    place = folder / "preprocessor_config.json"
    preprocessing = _json(place, shared["source"], shared["where"]) if place.is_file() else {}
    channels = int(config.get("num_channels", 3))
    if channels not in (1, 3):
        raise InputError(
            f"{shared['where']} '{shared['source']}' takes images of {channels} channels", remedy="choose one of 1 or 3"
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
    """The crop where there is one, else the size, else what the network was built for."""
    for found in (
        preprocessing.get("crop_size") if preprocessing.get("do_center_crop", True) else None,
        preprocessing.get("size"),
        config.get("image_size"),
    ):
        if isinstance(found, dict):
            found = found.get("height", found.get("shortest_edge"))
        if isinstance(found, list | tuple):
            found = found[0]
        if isinstance(found, int):
            return found
    return SIDE


def _per_channel(values: float | Sequence[float], channels: int) -> tuple[float, ...]:
    if isinstance(values, int | float):
        return (float(values),) * channels
    if len(values) == channels:
        return tuple(float(value) for value in values)
    # a grey network's preprocessing is often left at three equal channels
    return (float(values[0]),) * channels


def choose(backbone: Backbone, model: Model, *, classes: Sequence[str]) -> Choice:
    """The network that starts from the backbone. Raises InputError for other ``model.channels`` than it has."""
    require.that(
        model.channels in ("auto", backbone.channels),
        f"is {model.channels}, but the backbone has {backbone.channels}",
        remedy=f"set it to {backbone.channels} or auto",
        field="channels",
    )
    side = backbone.side if model.image_size == "auto" else model.image_size
    name, arguments = built(backbone, side)
    head = "its head kept" if backbone.keeps_head(classes) else "its head replaced"
    why = (
        f"{name}: pretrained, starting from {backbone.source} with {head}; {side} x {side} pixels: "
        + ("the side it was trained on" if model.image_size == "auto" else "model.image_size says so")
        + f"; {'grey' if backbone.channels == 1 else 'colour'} as it was trained"
    )
    return Choice(name=name, side=side, channels=backbone.channels, arguments=arguments, why=why)


def built(backbone: Backbone, side: int) -> tuple[str, dict[str, Any]]:
    """The name and the arguments of ``models.build`` for the backbone's network on images of ``side`` pixels."""
    if backbone.description is not None:
        return backbone.description["name"], backbone.description["arguments"]
    assert backbone.config is not None
    return PRETRAINED, {"config": _adapted(backbone.config, side)}


def _adapted(config: dict[str, Any], side: int) -> dict[str, Any]:
    kept = {key: value for key, value in sorted(config.items()) if key not in _FOREIGN}
    if "image_size" in kept:
        kept["image_size"] = side
    return kept


def _json(path: Path, source: str, where: str) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{where} '{source}': {path.name} is not JSON ({error})", remedy="save it anew") from error
    return values
