"""``hallmark upgrade``: the settings and stages of a workspace become those of the installed version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flows.new_workspace import default_params
from hallmark.contracts.durable import write_text
from hallmark.pipeline.dvcfile import is_current, render
from hallmark.pipeline.lock import exclusive
from hallmark.pipeline.new_keys import completed
from hallmark.pipeline.params import Document
from tasks import STAGES

if TYPE_CHECKING:
    from pathlib import Path


def upgrade(root: Path) -> list[str]:
    """Adds missing settings to params.yaml and renders dvc.yaml again; returns what was done, one line each.

    Values in params.yaml and the presets in conf/ stay. Raises InputError, and writes nothing, if the result is
    invalid, such as for a setting that this version no longer has.
    """
    from hallmark.pipeline.configuration import params_with

    path = root / "params.yaml"
    with exclusive(root, "hallmark upgrade"):
        old = path.read_text(encoding="utf-8")
        new, added = completed(old, default_params(), name=path.name)
        document = Document(new, name=path.name)
        params_with(STAGES, document, {}, package="tasks")
        said = [f"params.yaml: added {key}" for key in added]
        if new != old:
            write_text(path, new)
        if not is_current(root, STAGES):
            write_text(root / "dvc.yaml", render(STAGES))
            said.append("dvc.yaml: rendered for this version")
    return said or ["params.yaml and dvc.yaml are those of this version"]
