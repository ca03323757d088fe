"""Checks DVC's state files and recovers from killed runs.

DVC rewrites dvc.lock and .dvc/tmp/rwlock in place, so a kill can corrupt them (treeverse/dvc#7615). A corrupt rwlock is
removed: it only names live processes. A corrupt dvc.lock is set aside and restored from Git's last commit; stages that
ran since then are restored from DVC's run cache.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One check. ``recovered`` describes the recovery, empty if nothing was done."""

    what: str
    healthy: bool
    detail: str
    recovered: str = ""

    @property
    def message(self) -> str:
        """The problem and its recovery in one line."""
        return f"{self.what}: {self.detail}; {self.recovered}"


def recover(root: Path) -> list[Finding]:
    """Checks and recovers dvc.lock, DVC's rwlock and partial outputs; one finding each."""
    return [_lock_file(root), _rwlock(root), _leftovers(root)]


def _lock_file(root: Path) -> Finding:
    path = root / "dvc.lock"
    if not path.exists():
        return Finding(what="dvc.lock", healthy=True, detail="does not exist yet: nothing has run")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        content = None
    if isinstance(content, dict) and isinstance(content.get("stages"), dict):
        return Finding(what="dvc.lock", healthy=True, detail=f"parses, {len(content['stages'])} stages recorded")
    aside = path.with_name("dvc.lock.torn")
    path.replace(aside)
    committed = subprocess.run(["git", "show", "HEAD:./dvc.lock"], cwd=root, capture_output=True, check=False)
    if committed.returncode == 0:
        path.write_bytes(committed.stdout)
        done = f"restored from the last commit; the corrupt file is {aside.name}"
    else:
        done = f"moved to {aside.name}; the next run writes a new one"
    return Finding(what="dvc.lock", healthy=False, detail="corrupt: it does not parse", recovered=done)


def _rwlock(root: Path) -> Finding:
    path = root / ".dvc" / "tmp" / "rwlock"
    if not path.exists():
        return Finding(what="DVC's rwlock", healthy=True, detail="free")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError):
        path.unlink()
        return Finding(
            what="DVC's rwlock",
            healthy=False,
            detail="corrupt: it does not parse",
            recovered="removed: it names no live process",
        )
    held = [path for kind in ("read", "write") for path in content.get(kind, {})]
    return Finding(what="DVC's rwlock", healthy=True, detail=f"{len(held)} paths held" if held else "free")


def _leftovers(root: Path) -> Finding:
    from hallmark.contracts.durable import remove

    paths = [
        path
        for folder in (root / "data", root / "reports", root / "reports" / "plots")
        if folder.is_dir()
        for path in sorted(folder.glob(".partial-*"))
    ]
    for path in paths:
        remove(path)
    if not paths:
        return Finding(what="unfinished outputs", healthy=True, detail="none")
    names = ", ".join(path.relative_to(root).as_posix() for path in paths)
    return Finding(what="unfinished outputs", healthy=False, detail=names, recovered="removed")
