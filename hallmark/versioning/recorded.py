"""The recorded inputs of a stage's last run, from dvc.lock and DVC's cache."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import yaml

from hallmark.pipeline.dvcfile import digest_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def with_other_code(root: Path, digests: Mapping[str, str]) -> list[str]:
    """Names of the stages whose last run had other code; stages that never ran are left out.

    ``digests`` are the current texts of the stages' digest files, by stage.
    """
    stages = _recorded_stages(root)
    recorded = {name: _recorded_digest(stages, name, digest_file(name)) for name in digests}
    return [name for name, text in digests.items() if recorded[name] not in (None, _md5(text.encode()))]


def recorded_text(root: Path, stage: str, dep: Path) -> tuple[str | None, str]:
    """The text of the file ``dep`` (a dependency, relative to the root) at the stage's last run, and an empty string.

    (None, reason) if the stage has not run or the text is in neither the workspace nor DVC's cache.
    """
    digest = _recorded_digest(_recorded_stages(root), stage, dep)
    if digest is None:
        return None, f"dvc.lock has no digest of {stage}'s code; `hallmark run` or `dvc repro` records one."
    from hallmark.versioning.workspace import Workspace

    for path in (root / dep, Workspace(root).object(digest)):
        if path.is_file():
            content = path.read_bytes()
            if _md5(content) == digest:
                return content.decode(), ""
    return None, f"{dep.as_posix()} of that run is not in DVC's cache; `dvc fetch code` gets it if it was pushed."


def _recorded_stages(root: Path) -> dict[str, Any]:
    """The stages in dvc.lock, by name."""
    lock = root / "dvc.lock"
    content = yaml.safe_load(lock.read_text(encoding="utf-8")) if lock.exists() else {}
    return (content or {}).get("stages") or {}


def _recorded_digest(stages: Mapping[str, Any], stage: str, dep: Path) -> str | None:
    """The MD5 of a dependency of a stage, None if the stage has not run on it."""
    deps = stages.get(stage, {}).get("deps", [])
    return next((each["md5"] for each in deps if each["path"] == dep.as_posix()), None)


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
