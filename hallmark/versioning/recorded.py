"""The recorded inputs of a stage's last run, from dvc.lock and DVC's cache."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from pathlib import Path


def recorded_text(root: Path, stage: str, dep: Path) -> tuple[str | None, str]:
    """The text of the file ``dep`` (a dependency, relative to the root) at the stage's last run, and an empty string.

    (None, reason) if the stage has not run or the text is in neither the workspace nor DVC's cache.
    """
    lock = root / "dvc.lock"
    lock_content = yaml.safe_load(lock.read_text(encoding="utf-8")) if lock.exists() else {}
    deps = ((lock_content or {}).get("stages") or {}).get(stage, {}).get("deps", [])
    digest = next((each["md5"] for each in deps if each["path"] == dep.as_posix()), None)
    if digest is None:
        return None, f"dvc.lock has no digest of {stage}'s code; `hallmark run` or `dvc repro` records one."
    from hallmark.versioning.workspace import Workspace

    for path in (root / dep, Workspace(root).object(digest)):
        if path.is_file():
            content = path.read_bytes()
            if hashlib.md5(content, usedforsecurity=False).hexdigest() == digest:
                return content.decode(), ""
    return None, f"{dep.as_posix()} of that run is not in DVC's cache; `dvc fetch code` gets it if it was pushed."
