"""Atomic writes: a kill leaves the old file or folder or the new one, never a partial one.

:func:`replace` renames a finished file or folder to its final path. On Linux an existing folder is exchanged with the
new one in a single system call, so the path exists at every moment.
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


def replace(new: Path, path: Path) -> None:
    """Moves ``new`` to ``path`` in the same file system and removes what was there."""
    sync(new)
    if path.is_dir() and not path.is_symlink():
        if _exchange(new, path):
            remove(new)
        else:
            old = path.with_name(f".partial-old-{path.name}")
            remove(old)
            path.rename(old)
            new.rename(path)
            remove(old)
    else:
        os.replace(new, path)
    parent = os.open(path.parent, os.O_RDONLY)
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
    """Swaps two paths atomically; False if the system does not support it."""
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        return False
    done = libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    return bool(done == 0)
