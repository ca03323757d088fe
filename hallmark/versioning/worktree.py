"""A light copy of a workspace, to run stages in with other params or inputs, over the workspace's own DVC cache.

It holds what DVC looks at: dvc.yaml, dvc.lock, params.yaml, the digests of the stages' code, and links to the inputs
that do not change; the code that runs is the workspace's own. What a stage leaves there is in the shared cache under
its inputs' digests: made once, it is restored in the next copy, after a kill too. Git is not asked, so that it works
before the first commit.
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


def make(root: Path, place: Path, *, params: str, stages: Sequence[Stage], links: Iterable[Path]) -> None:
    """Makes the copy in ``place``, anew where there is one.

    ``params`` is the text of its params.yaml, ``stages`` those that will run in it; ``links`` are places, relative to
    the root, that it sees as they are. The workspace's DVC stage ``code`` has to be up to date.
    """
    durable.remove(place)
    place.mkdir(parents=True)
    declared = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for name in [*COPIED, *(digest_file(stage.name).as_posix() for stage in stages)]:
        if (root / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, place / name)
    (place / "params.yaml").write_text(params, encoding="utf-8")
    watched = _watched(
        read(place / "params.yaml").values, [dep for stage in stages for dep in declared[stage.name]["deps"]]
    )
    for link in sorted({*map(Path, links), *watched}):
        (place / link).parent.mkdir(parents=True, exist_ok=True)
        (place / link).symlink_to((root / link).resolve(), target_is_directory=True)
    (place / ".hallmark").mkdir(exist_ok=True)  # something watched may lie in the workspace's own
    cache = (root / ".hallmark" / "cache").resolve()
    cache.mkdir(parents=True, exist_ok=True)
    (place / ".hallmark" / "cache").symlink_to(cache, target_is_directory=True)
    shared = Workspace(root).cache
    text = CONFIG.format(site=(place / ".dvc" / "site").resolve(), cache=shared)
    (place / ".dvc" / "config.local").write_text(text, encoding="utf-8")


def _watched(values: Mapping[str, Any], deps: Iterable[str]) -> set[Path]:
    """The dependencies that params.yaml names (``${section.key}``), those that are given relative to the root."""
    named = (dep.removeprefix("${").removesuffix("}").split(".") for dep in deps if dep.startswith("${"))
    paths = {Path(values[section][key]) for section, key in named}
    return {path for path in paths if not path.is_absolute()}
