"""Writing so that a kill leaves the old or the new, never a half.

``replace`` renames a finished file or folder over its place; where the place is a folder already, the two are exchanged
in one system call where the kernel can (Linux), so that there is no moment without an output.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def sync(path: Path) -> None:
    """Forces a file, or all files of a folder and the folder itself, to the disk."""
    if path.is_dir():
        for entry in sorted(path.iterdir()):
            sync(entry)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Removes a file or a folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def replace(new: Path, place: Path) -> None:
    """Moves ``new`` to ``place``, in the same file system; what stood there is removed."""
    sync(new)
    if place.is_dir() and not place.is_symlink():
        if _exchange(new, place):
            remove(new)
        else:
            old = place.with_name(f".partial-old-{place.name}")
            remove(old)
            place.rename(old)
            new.rename(place)
            remove(old)
    else:
        os.replace(new, place)
    parent = os.open(place.parent, os.O_RDONLY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


def write_text(path: Path, text: str) -> None:
    """Writes a text file durably and atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{path.name}")
    try:
        partial.write_text(text, encoding="utf-8")
        replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def _exchange(one: Path, other: Path) -> bool:
    """Swaps two paths atomically; False where the system cannot."""
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        return False
    done = libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    return bool(done == 0)
