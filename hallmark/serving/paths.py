"""Expands command-line arguments to files: file names, folders (recursively) and glob patterns."""

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
    """A file to classify, or a path with the error that prevents it."""

    path: str
    error: str = ""


def expand(arguments: Sequence[str]) -> Iterator[Named]:
    """The files of each argument, in the order of the arguments; within a folder or pattern, sorted by path.

    A folder yields the files at any depth below it, without hidden ones; links to folders are not followed. An
    argument with ``*``, ``?``, ``[...]`` or ``**`` (any depth) is a pattern unless a file of that name exists. A path
    that is not a regular file, an empty folder, and a pattern without matches each yield an error.
    """
    for argument in arguments:
        if os.path.lexists(argument):
            yield from _below(argument) if os.path.isdir(argument) else [_file(argument)]
        elif glob.has_magic(argument):
            yield from _matches(argument)
        else:
            yield Named(path=argument, error="no such file")


def printable(path: str) -> str:
    """A path as text that UTF-8 can encode: bytes that are not UTF-8 become ``\\xff``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def read(path: str, limit: int) -> bytes:
    """The bytes of a regular file of at most ``limit`` bytes. Raises OSError otherwise."""
    # must not block if a pipe has replaced the file since
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("not a regular file")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(f"larger than {limit >> 20} MiB")
    return data


def _matches(pattern: str) -> Iterator[Named]:
    path = Path(pattern)
    visible = not any(part.startswith(".") and part not in (".", "..") for part in path.parts)
    try:
        # unlike in the glob module, ** does not follow links to folders, which may form a cycle
        candidates = sorted(map(str, Path(path.anchor).glob(str(path.relative_to(path.anchor)))))
    except ValueError as error:
        yield Named(path=pattern, error=f"not a valid pattern: {error}")
        return
    matches = [match for match in candidates if not visible or not _hidden(match)]
    if not matches:
        yield Named(path=pattern, error="no file matches this pattern")
    for match in matches:
        # ** matches each folder and its contents; a folder that another pattern matches means its files
        if not os.path.isdir(match):
            yield _file(match)
        elif "**" not in path.parts:
            yield from _below(match)


def _hidden(path: str) -> bool:
    return any(part.startswith(".") and part != ".." for part in Path(path).parts)


def _below(folder: str) -> Iterator[Named]:
    empty = True
    faults: list[OSError] = []
    for directory, folders, files in os.walk(folder, onerror=faults.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and name not in JUNK:
                empty = False
                yield _file(os.path.join(directory, name))
    for fault in faults:
        yield Named(path=str(fault.filename), error=f"cannot be listed: {fault.strerror}")
    if empty and not faults:
        yield Named(path=folder, error="no file in this folder")


def _file(path: str) -> Named:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return Named(path=path, error=f"cannot be read: {error.strerror}")
    return Named(path=path, error="" if stat.S_ISREG(mode) else "not a regular file")
