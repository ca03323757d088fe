"""Decides which files belong to a source: those in its folder, and those that its owner stores elsewhere on purpose.

A third-party data set may hold links and manifests that point anywhere on this machine, and what ingest reads ends up
in data/ingest and in remotes. So a path is judged by its target after all links are resolved. Inside are the source's
folder, the folder ``ingest.images``, the blobs of the Hugging Face cache that the source is a snapshot of, and the
workspace's DVC cache.
"""

from __future__ import annotations

import configparser
import os
import re
from pathlib import Path
from typing import Self

from hallmark.contracts.names import NO_FOLDER

_HUB_REPOSITORY = re.compile(r"(?:datasets|models|spaces)--.+")


class Boundary:
    """The folders whose files belong to a source. Without folders there is no boundary: every path is inside."""

    def __init__(self, *folders: Path) -> None:
        self._roots = [os.path.join(os.path.realpath(folder), "") for folder in folders]
        self._parents: dict[str, str] = {}

    @classmethod
    def of(cls, folder: Path, *, images: str = NO_FOLDER, workspace: Path | None = None) -> Self:
        """A source in a folder; a relative ``images`` is relative to ``workspace``, by default the current folder."""
        workspace = workspace or Path.cwd()
        declared = [workspace / images] if images != NO_FOLDER else []
        return cls(folder, *declared, *_hub_blobs(folder), dvc_cache(workspace))

    def target(self, path: str) -> str | None:
        """The path with all links resolved; None if it leads outside. Raises ValueError for a zero byte."""
        folder, name = os.path.split(path)
        if folder not in self._parents:
            self._parents[folder] = os.path.realpath(folder)
        target = os.path.join(self._parents[folder], name)
        if name in ("", ".", "..") or os.path.islink(target):
            target = os.path.realpath(target)
        inside = not self._roots or any(target.startswith(root) or target + os.sep == root for root in self._roots)
        return target if inside else None


def leads_out(path: str) -> bool:
    """Whether a normalised POSIX path, relative to a folder or archive, leads out of it."""
    return path == ".." or path.startswith(("../", "/"))


def dvc_cache(workspace: Path) -> Path:
    """The folder of the workspace's DVC cache, from DVC's configuration files.

    DVC's links point into it. It is read without DVC, because stages run without DVC.
    """
    configured = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    for file in (workspace / ".dvc/config.local", workspace / ".dvc/config", Path(configured) / "dvc/config"):
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read(file, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue  # DVC reports a broken configuration itself
        if parser.has_option("cache", "dir"):
            return file.parent / parser.get("cache", "dir").strip("\"'")
    return workspace / ".dvc/cache"


def _hub_blobs(folder: Path) -> list[Path]:
    """``blobs`` of the Hugging Face cache (``datasets--*/snapshots/<revision>``) that a folder is or lies in."""
    path = Path(os.path.abspath(folder))
    for above in (path, *path.parents):
        blobs = above.parent / "blobs"
        if above.name == "snapshots" and _HUB_REPOSITORY.fullmatch(above.parent.name) and blobs.is_dir():
            # a link could lead anywhere, and nothing in a hub cache makes the folder one
            return [] if blobs.is_symlink() else [blobs]
    return []
