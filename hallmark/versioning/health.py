"""Are DVC's files whole? Recovers what is safe to recover.

DVC rewrites dvc.lock and .dvc/tmp/rwlock in place, so that a kill can tear them (treeverse/dvc#7615). The rwlock is
removed when torn: it only names live processes. dvc.lock is put back from Git's last commit, after keeping the torn one
aside; stages that ran since then are found in DVC's run cache and restored.
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
    """One thing that was looked at. ``recovered`` says what was done about it, empty if nothing."""

    what: str
    healthy: bool
    detail: str
    recovered: str = ""

    @property
    def words(self) -> str:
        """What was wrong and what was done, in one line."""
        return f"{self.what}: {self.detail}; {self.recovered}"


def recover(root: Path) -> list[Finding]:
    """Looks at dvc.lock, DVC's rwlock and what killed runs left, and recovers them."""
    return [_lock_file(root), _rwlock(root), _leftovers(root)]


def _lock_file(root: Path) -> Finding:
    path = root / "dvc.lock"
    if not path.exists():
        return Finding(what="dvc.lock", healthy=True, detail="not there yet: nothing has run")
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
        recovered = f"put back from the last commit; the torn one is {aside.name}"
    else:
        recovered = f"moved to {aside.name}; the next run writes a new one"
    return Finding(what="dvc.lock", healthy=False, detail="torn: it does not parse", recovered=recovered)


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
            detail="torn: it does not parse",
            recovered="removed: it names no live process",
        )
    held = [path for kind in ("read", "write") for path in content.get(kind, {})]
    return Finding(what="DVC's rwlock", healthy=True, detail=f"{len(held)} paths held" if held else "free")


def _leftovers(root: Path) -> Finding:
    from hallmark.contracts.durable import remove

    found = [
        path
        for folder in (root / "data", root / "reports", root / "reports" / "plots")
        if folder.is_dir()
        for path in sorted(folder.glob(".partial-*"))
    ]
    for path in found:
        remove(path)
    if not found:
        return Finding(what="unfinished outputs", healthy=True, detail="none")
    names = ", ".join(path.relative_to(root).as_posix() for path in found)
    return Finding(what="unfinished outputs", healthy=False, detail=names, recovered="removed")
