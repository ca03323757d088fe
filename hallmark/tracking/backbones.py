"""A trained network that a param names: a registered model of ours, a local folder, or an id of the hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hallmark.models import backbone as backbones
from hallmark.models import hub
from hallmark.tracking import model_uri

if TYPE_CHECKING:
    from hallmark.models.backbone import Backbone


def named(name: str, scratch: Path, *, where: str) -> Backbone:
    """The backbone that the param ``where`` names; ``scratch`` must outlive it. Raises InputError, MachineError."""
    if name.startswith("models:"):
        folder, version = model_uri.package(name, scratch, where=where)
        return backbones.read(folder, source=name, revision=str(version.number), param=where)
    folder, revision = hub.fetch(name, param=where)
    # of a folder its name alone: where it lies is this machine's affair
    source = name if revision is not None else Path(name).name
    return backbones.read(folder, source=source, revision=revision, param=where)
