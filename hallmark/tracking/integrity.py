"""Digests of a version's files in the registry: only files that were registered are used.

Registration writes the SHA-256 of every file of the model into the version's tag :data:`FILES`. A reader
reads each file once, checks its digest and uses those same bytes. Anyone who can write to the registry's database can
change both; MLflow's own loading checks nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from typing import TYPE_CHECKING

from hallmark.contracts.digests import of_file
from hallmark.contracts.errors import InputError, MachineError

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping
    from pathlib import Path

    from hallmark.tracking.lookup import Version

FILES = "hallmark.files"
_BLOCK = 1 << 20


def digests(folder: Path) -> str:
    """The value of the tag: JSON of the SHA-256 of each file below a folder, by its POSIX path there."""
    return json.dumps(
        {name: of_file(folder / name) for name in sorted(_names(folder))},
        separators=(",", ":"),
    )


def recorded(name: str, version: Version, subfolder: str) -> dict[str, str]:
    """The digests of a version's files in ``subfolder`` of the model (empty: all), by their path there.

    Raises InputError where the version was registered without them.
    """
    try:
        all_digests = json.loads(version.tags[FILES])
        start = f"{subfolder}/" if subfolder else ""
        selected = {path[len(start) :]: str(digest) for path, digest in all_digests.items() if path.startswith(start)}
    except (KeyError, ValueError, AttributeError) as error:
        raise InputError(
            f"the registry has no digests (tag {FILES}) of the files of version {version.number} of model '{name}', "
            "so they cannot be checked",
            remedy="delete the version in MLflow, and `hallmark run` registers the model again",
        ) from error
    return selected


def read(
    folder: Path,
    expected: Mapping[str, str],
    *,
    what: str,
    keep: Container[str] = (),
    whole: bool = True,
    beside: Container[str] = (),
) -> dict[str, bytes]:
    """Checks the digests of all files of a folder; returns the bytes of those in ``keep``.

    ``what`` names the folder in messages. With ``whole`` a file without digest that is not in ``beside`` is refused.
    Raises MachineError that names each changed, added or missing file.
    """
    contents: dict[str, bytes] = {}
    faults: list[str] = []
    for name, digest in sorted(expected.items()):
        try:
            actual, data = _digest(folder / name, keep=name in keep)
        except OSError as error:
            faults.append(f"{name} is missing" if isinstance(error, FileNotFoundError) else f"{name}: {error}")
            continue
        if actual != digest:
            faults.append(f"{name} is changed")
        contents[name] = data
    faults += [
        f"{name} is added" for name in sorted(_names(folder)) if whole and name not in expected and name not in beside
    ]
    if faults:
        raise MachineError(
            f"the files of {what} are not those that were registered: {', '.join(faults)} (in {folder})",
            remedy="put the registered files back, or delete the version in MLflow and register the model again",
        )
    return {name: data for name, data in contents.items() if name in keep}


def _names(folder: Path) -> Iterator[str]:
    """What is in a folder besides folders, links to folders included."""
    for path in folder.rglob("*"):
        if path.is_symlink() or not path.is_dir():
            yield path.relative_to(folder).as_posix()


def _digest(path: Path, *, keep: bool) -> tuple[str, bytes]:
    """SHA-256 and, where asked for, the bytes that it is of. Opens nothing but a regular file."""
    if not path.exists():
        raise FileNotFoundError(path)
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("it is no regular file")
    total, blocks = hashlib.sha256(), []
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
        while block := file.read(_BLOCK):
            total.update(block)
            if keep:
                blocks.append(block)
    return total.hexdigest(), b"".join(blocks)
