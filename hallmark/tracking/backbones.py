"""The pretrained network that a param names: a shipped or registered model, a folder, or a Hugging Face Hub id."""

from __future__ import annotations

import functools
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hallmark.models import backbone as backbones
from hallmark.models import hub, shipped
from hallmark.models.params import SHIPPED
from hallmark.tracking import model_uri

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hallmark.models.backbone import Backbone


@contextmanager
def finder(*, param: str) -> Iterator[Callable[[str], Backbone]]:
    """:func:`named` for the value of ``param``, with temporary files that live as long as the block."""
    with tempfile.TemporaryDirectory() as scratch:
        yield functools.partial(named, scratch=Path(scratch), param=param)


def named(name: str, scratch: Path, *, param: str) -> Backbone:
    """The backbone named by the value of ``param``; ``scratch`` must outlive it. Raises InputError, MachineError."""
    if name in SHIPPED:
        return shipped.read(name, param=param)
    if name.startswith("models:"):
        folder, version = model_uri.package(name, scratch, param=param)
        return backbones.read(folder, source=name, revision=str(version.number), param=param)
    folder, revision = hub.fetch(name, param=param)
    # only the name of a folder is recorded: its path differs between machines
    source = name if revision is not None else Path(name).name
    return backbones.read(folder, source=source, revision=revision, param=param)
