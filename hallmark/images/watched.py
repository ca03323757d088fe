"""Which folder DVC has to watch besides a manifest, so that a change in an image the manifest names is noticed.

DVC hashes what a stage depends on, and of a manifest that is the table alone. ``ingest.images`` names the folder its
images lie in; ``hallmark run`` and ``hallmark configure`` set it along with ``ingest.source``.
"""

from __future__ import annotations

import os
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING

from hallmark.contracts.names import NO_FOLDER
from hallmark.images.boundary import Boundary
from hallmark.images.bounds import Bounds

if TYPE_CHECKING:
    from collections.abc import Sequence

# a folder with more files than this times those named, and some, is not one of the manifest's images
MOST_OTHERS, SOME_OTHERS = 2, 1000
# folders that stages write: a stage cannot depend on later outputs
OUTPUTS = ("data", "reports", ".hallmark")


def folder_of_images(source: str, root: Path, *, follow_outside: bool = False, bounds: Bounds | None = None) -> str:
    """The folder, as ``source`` is written, that holds the images of an unpacked manifest; NO_FOLDER for any other.

    Also where there is no such folder worth watching: it would hold the pipeline's outputs, or mostly other files.
    Without ``follow_outside`` only files inside the manifest's own folder count: a manifest from somebody else must not
    choose which folders of this machine belong to the source. Raises InputError for a manifest that cannot be read.
    """
    named = _named(root / source, bounds or Bounds())
    if not follow_outside:
        boundary, beside = Boundary.of((root / source).parent, workspace=root), (root / source).parent
        named = [name for name in named if "\0" not in name and boundary.target(os.path.join(beside, name)) is not None]
    parent = posixpath.dirname(source.replace(os.sep, "/"))
    folders = {posixpath.dirname(posixpath.normpath(posixpath.join(parent, name))) for name in named}
    if not folders:
        return NO_FOLDER
    if any(posixpath.isabs(folder) for folder in folders):
        folders = {posixpath.normpath(posixpath.join(root.as_posix(), folder)) for folder in folders}
    common = posixpath.commonpath(sorted(folders)) if "" not in folders else ""
    path = (root / common).resolve()
    outputs = [(root / name).resolve() for name in OUTPUTS]
    if any(out == path or path in out.parents for out in outputs) or path == (root / source).resolve():
        return NO_FOLDER
    if not path.is_dir() or _crowded(path, MOST_OTHERS * len(named) + SOME_OTHERS):
        return NO_FOLDER
    return common


def unwatched(names: Sequence[str], source: str, images: str) -> list[str]:
    """Of the files an unpacked manifest names, those outside the folder watched."""
    folder, parent = Path(images).resolve(), Path(source).resolve().parent
    if images == NO_FOLDER:
        return list(names)
    return [name for name in names if not Path(os.path.normpath(parent / name)).is_relative_to(folder)]


def _named(path: Path, bounds: Bounds) -> list[str]:
    """The files that a manifest names, empty where the path is no unpacked manifest."""
    suffix = path.suffix.casefold()
    if not path.is_file() or suffix not in (".csv", ".parquet", ".pq"):
        return []
    if suffix == ".csv":
        from hallmark.images.manifests import read_csv

        with path.open("rb") as file:
            entries = read_csv(bounds.lines(file, path.name), path.name)
    else:
        from hallmark.images.parquets import Table

        bounds.parquet(path, path.stat().st_size, path.name)
        table = Table(path, path.name)
        if table.image is not None:
            return []
        entries = table.entries()
    return [row.path.replace("\\", "/") for row in entries]


def _crowded(folder: Path, most: int) -> bool:
    count = 0
    for _, _, files in os.walk(folder):
        count += len(files)
        if count > most:
            return True
    return False
