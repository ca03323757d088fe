"""The files that command-line arguments name: files, folders with all that is below them, and glob patterns."""

from __future__ import annotations

import glob
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

JUNK = ("Thumbs.db", "desktop.ini")


@dataclass(frozen=True, kw_only=True)
class Named:
    """A path to answer for, or one that cannot be, and why."""

    path: str
    error: str = ""


def expand(arguments: Sequence[str]) -> Iterator[Named]:
    """Each file named, in the order of the arguments; within a folder or a pattern sorted by path.

    A folder stands for the files at any depth below it, without hidden ones and links to folders. A pattern (``*``,
    ``?``, ``[...]``, ``**`` for any depth) is only one where there is no file of that name. What is no regular file,
    an empty folder, and a pattern that matches nothing each have an error.
    """
    for argument in arguments:
        if os.path.lexists(argument):
            yield from _below(argument) if os.path.isdir(argument) else [_file(argument)]
        elif glob.has_magic(argument):
            yield from _matches(argument)
        else:
            yield Named(path=argument, error="there is no such file")


def printable(path: str) -> str:
    """A path as text that UTF-8 can hold: bytes that are no UTF-8 appear as ``\\xff``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def read(path: str, limit: int) -> bytes:
    """The bytes of a regular file of at most ``limit`` bytes; OSError says why there are none."""
    # a pipe that took the file's place since must not make this wait
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("it is no regular file")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(f"it is larger than {limit >> 20} MiB")
    return data


def _matches(pattern: str) -> Iterator[Named]:
    path = Path(pattern)
    visible = not any(part.startswith(".") and part not in (".", "..") for part in path.parts)
    try:
        # unlike the module glob, ** follows no link to a folder, which may lead round in a circle
        found = sorted(map(str, Path(path.anchor).glob(str(path.relative_to(path.anchor)))))
    except ValueError as error:
        yield Named(path=pattern, error=f"it is no pattern: {error}")
        return
    matches = [match for match in found if not visible or not _hidden(match)]
    if not matches:
        yield Named(path=pattern, error="no file matches this pattern")
    for match in matches:
        # ** names each folder and what is in it; another pattern that names a folder means its files
        if not os.path.isdir(match):
            yield _file(match)
        elif "**" not in path.parts:
            yield from _below(match)


def _hidden(path: str) -> bool:
    return any(part.startswith(".") and part != ".." for part in Path(path).parts)


def _below(folder: str) -> Iterator[Named]:
    empty = True
    faults: list[OSError] = []
    for place, folders, files in os.walk(folder, onerror=faults.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and name not in JUNK:
                empty = False
                yield _file(os.path.join(place, name))
    for fault in faults:
        yield Named(path=str(fault.filename), error=f"cannot be listed: {fault.strerror}")
    if empty and not faults:
        yield Named(path=folder, error="there is no file in this folder")


def _file(path: str) -> Named:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return Named(path=path, error=f"cannot be read: {error.strerror}")
    return Named(path=path, error="" if stat.S_ISREG(mode) else "it is no regular file")
