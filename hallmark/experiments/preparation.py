"""The stages before train, in a tree of their own: restored from DVC's cache where they ran before, else run."""

from __future__ import annotations

import dataclasses
import importlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hallmark.experiments.trial import place_of, working_in
from hallmark.pipeline.configuration import stage_params
from hallmark.versioning import worktree

if TYPE_CHECKING:
    from pathlib import Path

    from hallmark.pipeline.stage import Stage


@dataclass(frozen=True, kw_only=True)
class Tree:
    """A copy of the workspace ``root`` at ``place`` in which ``stages`` are brought up to date, of all ``known`` ones.

    ``links`` are what it shares with the workspace; ``given`` are files that take the place of others: (file, place
    relative to the tree).
    """

    root: Path
    place: Path
    package: str
    params: str
    stages: tuple[Stage, ...]
    known: tuple[Stage, ...]
    links: tuple[Path, ...]
    given: tuple[tuple[Path, Path], ...] = ()


def prepare(tree: Tree) -> dict[str, float | None]:
    """Makes the tree and brings its stages up to date; the seconds of each that ran, None for one restored.

    Raises what a stage raises: GateRefused where what is left out makes the data unusable.
    """
    import shutil

    from hallmark.pipeline.execution import execute
    from hallmark.versioning.workspace import Workspace

    worktree.make(tree.root, tree.place, params=tree.params, stages=tree.stages, links=tree.links)
    for source, place in tree.given:
        (tree.place / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, tree.place / place)
    seconds: dict[str, float | None] = {}
    with working_in(tree.place):
        params = stage_params(tree.known, tree.place, package=tree.package)
        cleaned = params["clean"]
        params["clean"] = dataclasses.replace(cleaned, backbone=place_of(cleaned.backbone, tree.root))
        workspace = Workspace(tree.place)
        for stage in tree.stages:
            if workspace.settle(stage.name) != "stale":
                seconds[stage.name] = None
                continue
            execute(stage, importlib.import_module(f"{tree.package}.{stage.name}"), params[stage.name], tree.place)
            workspace.record(stage.name)
            told = json.loads((tree.place / "reports" / "run.json").read_text(encoding="utf-8"))
            seconds[stage.name] = told[stage.name]["seconds"]
    return seconds
