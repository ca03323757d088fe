"""A model's lineage as tags: code, data, parameters. Facts of the workspace, never part of an output."""

from __future__ import annotations

import hashlib
import json
import subprocess
from typing import TYPE_CHECKING, Any

from hallmark.contracts import digests

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_WRITTEN = (":(exclude)dvc.lock", ":(exclude)reports")  # by the pipeline itself
# untracked files that count as code; an untracked folder of images is not read
_CODE = (".cfg", ".ini", ".ipynb", ".py", ".sh", ".toml", ".yaml", ".yml")


def tags(root: Path) -> dict[str, str]:
    """Tags of the workspace, for the parts that exist.

    ``hallmark.git.commit``; ``hallmark.git.dirty``, a digest of the uncommitted changes and of untracked code
    (without dvc.lock and reports/, which the pipeline itself writes), "" if none; ``hallmark.dvc_lock``,
    ``hallmark.params``, ``hallmark.data``: SHA-256 of dvc.lock, params.yaml and the manifest of ingest.
    """
    facts: dict[str, str] = {}
    commit = _git(root, "rev-parse", "HEAD")
    if commit is not None:
        facts["hallmark.git.commit"] = commit.decode().strip()
        facts["hallmark.git.dirty"] = _dirty(root)
    for name, path in (
        ("hallmark.dvc_lock", root / "dvc.lock"),
        ("hallmark.params", root / "params.yaml"),
        ("hallmark.data", root / "data" / "ingest" / "manifest.parquet"),
    ):
        if path.is_file():
            facts[name] = digests.of_file(path)
    return facts


def data(root: Path, *, source: str) -> list[str]:
    """Lines on the data for a description, from the reports that exist."""
    ingest, train = (_report(root, name) for name in ("ingest", "train"))
    lines = [f"Source: `{source}`, as named in params.yaml"] if source else []
    if "n_files" in ingest:
        lines.append(f"{ingest['n_files']} files found")
    if "n_train" in train:
        synthetic = f" and {train['n_synthetic']} synthetic ones" if train.get("n_synthetic") else ""
        lines.append(f"Trained on {train['n_train']} images{synthetic}, selected on {train['n_val']} validation images")
        if train.get("refit"):
            lines.append(f"Then trained anew on the {train['refit']['images']} training and validation images together")
    return lines


def _report(root: Path, name: str) -> dict[str, Any]:
    path = root / "reports" / f"{name}.json"
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return report


def digest(folder: Path) -> str:
    """SHA-256 of the names and bytes of all files in a folder."""
    return _digest(folder, sorted(path for path in folder.rglob("*") if path.is_file()))


def _dirty(root: Path) -> str:
    changes = _git(root, "diff", "HEAD", "--binary", "--", ".", *_WRITTEN)
    untracked = _git(root, "ls-files", "-z", "--others", "--exclude-standard", "--", ".", *_WRITTEN)
    paths = sorted(root / name for name in (untracked or b"").decode().split("\0") if name.endswith(_CODE))
    if not changes and not paths:
        return ""
    return hashlib.sha256((changes or b"") + _digest(root, paths).encode()).hexdigest()


def _digest(root: Path, paths: Iterable[Path]) -> str:
    return digests.of_named(
        (path.relative_to(root).as_posix(), digests.of_file(path)) for path in paths if path.is_file()
    )


def _git(root: Path, *arguments: str) -> bytes | None:
    """git's output; None if this is no repository, it has no commit, or git is missing."""
    try:
        completed = subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return completed.stdout if completed.returncode == 0 else None
