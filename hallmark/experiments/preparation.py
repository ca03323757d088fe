"""Runs the stages before train in a separate tree, or restores them from DVC's cache."""

from __future__ import annotations

import dataclasses
import importlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hallmark.experiments.trial import backbone_path, working_in
from hallmark.pipeline.configuration import stage_params
from hallmark.versioning import worktree

if TYPE_CHECKING:
    from pathlib import Path

    from hallmark.pipeline.stage import Stage


@dataclass(frozen=True, kw_only=True)
class Tree:
    """A copy of the workspace ``root`` in ``folder`` in which ``stages`` (of ``all_stages``) are brought up to date.

    ``links`` are paths shared with the workspace; ``replaced`` are files that replace others: (file, path relative to
    the tree).
    """

    root: Path
    folder: Path
    package: str
    params: str
    stages: tuple[Stage, ...]
    all_stages: tuple[Stage, ...]
    links: tuple[Path, ...]
    replaced: tuple[tuple[Path, Path], ...] = ()


def prepare(tree: Tree) -> dict[str, float | None]:
    """Creates the tree and brings its stages up to date; returns the seconds of each, None for a restored one.

    Raises a stage's error, such as GateRefused if the changed params make the data unusable.
    """
    import shutil

    from hallmark.pipeline.execution import execute
    from hallmark.versioning.workspace import Workspace

    worktree.make(tree.root, tree.folder, params=tree.params, stages=tree.stages, links=tree.links)
    for source, target in tree.replaced:
        (tree.folder / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, tree.folder / target)
    seconds: dict[str, float | None] = {}
    with working_in(tree.folder):
        params = stage_params(tree.all_stages, tree.folder, package=tree.package)
        cleaned = params["clean"]
        params["clean"] = dataclasses.replace(cleaned, backbone=backbone_path(cleaned.backbone, tree.root))
        workspace = Workspace(tree.folder)
        for stage in tree.stages:
            if workspace.settle(stage.name) != "stale":
                seconds[stage.name] = None
                continue
            execute(stage, importlib.import_module(f"{tree.package}.{stage.name}"), params[stage.name], tree.folder)
            workspace.record(stage.name)
            facts = json.loads((tree.folder / "reports" / "run.json").read_text(encoding="utf-8"))
            seconds[stage.name] = facts[stage.name]["seconds"]
    return seconds
