"""A light copy of a workspace, which runs stages with other params or inputs over the same DVC cache.

It holds the files that DVC reads: dvc.yaml, dvc.lock, params.yaml and the digests of the stages' code. It links to the
inputs that do not change, and runs the workspace's own code. Stage outputs go to the shared cache under their inputs'
digests, so the next copy restores them, even after a kill. Git is not involved: it works before the first commit.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from hallmark.contracts import durable
from hallmark.pipeline.dvcfile import digest_file
from hallmark.pipeline.params import read
from hallmark.versioning.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hallmark.pipeline.stage import Stage

COPIED = ("dvc.yaml", "dvc.lock", ".dvcignore", ".dvc/config", "data/review.csv")
CONFIG = """[core]
    no_scm = true
    site_cache_dir = "{site}"
[cache]
    dir = "{cache}"
"""


def make(root: Path, copy: Path, *, params: str, stages: Sequence[Stage], links: Iterable[Path]) -> None:
    """Creates the copy in the folder ``copy``, replacing an earlier one.

    ``params``: the text of its params.yaml. ``stages``: the stages that will run in it. ``links``: paths relative to
    the root to link to. The workspace's DVC stage ``code`` must be up to date.
    """
    durable.remove(copy)
    copy.mkdir(parents=True)
    declared = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for name in [*COPIED, *(digest_file(stage.name).as_posix() for stage in stages)]:
        if (root / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, copy / name)
    (copy / "params.yaml").write_text(params, encoding="utf-8")
    watched = _watched(
        read(copy / "params.yaml").values, [dep for stage in stages for dep in declared[stage.name]["deps"]]
    )
    for link in sorted({*map(Path, links), *watched}):
        (copy / link).parent.mkdir(parents=True, exist_ok=True)
        (copy / link).symlink_to((root / link).resolve(), target_is_directory=True)
    (copy / ".hallmark").mkdir(exist_ok=True)  # a watched path may be in the workspace's own
    cache = (root / ".hallmark" / "cache").resolve()
    cache.mkdir(parents=True, exist_ok=True)
    (copy / ".hallmark" / "cache").symlink_to(cache, target_is_directory=True)
    shared = Workspace(root).cache
    text = CONFIG.format(site=(copy / ".dvc" / "site").resolve(), cache=shared)
    (copy / ".dvc" / "config.local").write_text(text, encoding="utf-8")


def _watched(values: Mapping[str, Any], deps: Iterable[str]) -> set[Path]:
    """The dependencies that params.yaml names (``${section.key}``), if relative to the root."""
    named = (dep.removeprefix("${").removesuffix("}").split(".") for dep in deps if dep.startswith("${"))
    paths = {Path(values[section][key]) for section, key in named}
    return {path for path in paths if not path.is_absolute()}
