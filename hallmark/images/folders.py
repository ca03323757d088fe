"""Files of a folder: listed recursively, read by several threads, returned in order."""

from __future__ import annotations

import errno
import io
import itertools
import os
import stat
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from hallmark.contracts import runtime
from hallmark.contracts.errors import MachineError
from hallmark.images.boundary import Boundary
from hallmark.images.bounds import Bounds
from hallmark.images.entries import Content, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

_CHUNK_FILES = 64
_CHUNK_BYTES = 8 * 2**20
# errors of the file itself; all others are machine faults
FILE_ERRORS = {
    errno.EACCES,
    errno.EPERM,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EIO,
    errno.ENXIO,
    errno.EINVAL,
    errno.EILSEQ,
}


# recorded instead of a size
UNREADABLE, OUTSIDE = -1, -2


def walk(folder: Path, boundary: Boundary | None = None, bounds: Bounds | None = None) -> dict[str, int]:
    """Every file below the folder, hidden ones too, and its size in bytes, or UNREADABLE or OUTSIDE.

    Names are relative, POSIX, as the file system gives them. Links are followed within the boundary (by default of the
    folder itself); one that leads out is OUTSIDE. A broken link, one into a folder that it lies in, and what is no
    regular file (a pipe, a socket, a device) are UNREADABLE. Raises MachineError where a folder may not be listed,
    InputError where there are more files than ``bounds`` allow.
    """
    boundary, bounds = boundary or Boundary(folder), bounds or Bounds()
    sizes: dict[str, int] = {}
    folders: list[tuple[str, str, frozenset[tuple[int, int]]]] = [(os.fspath(folder), "", frozenset())]
    while folders:
        path, prefix, above = folders.pop()
        try:
            here = os.stat(path)
            above = above | {(here.st_dev, here.st_ino)}
            with os.scandir(path) as entries:
                for entry in entries:
                    name = prefix + entry.name
                    size, facts = _look(entry, boundary)
                    if facts is None:
                        sizes[name] = size
                    elif (facts.st_dev, facts.st_ino) in above:
                        sizes[name] = UNREADABLE
                    else:
                        folders.append((entry.path, f"{name}/", above))
                    bounds.files(len(sizes) + len(folders), f"the folder '{folder}'")
        except PermissionError as error:
            raise MachineError(
                f"no permission to list the folder '{path}'",
                remedy="give read and execute permission on it (chmod u+rx)",
                field="source",
            ) from error
        except OSError as error:
            if error.errno not in FILE_ERRORS or not prefix:
                raise
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):  # gone since its parent was listed
                sizes[prefix.rstrip("/")] = UNREADABLE
    return sizes


def _look(entry: os.DirEntry[str], boundary: Boundary) -> tuple[int, os.stat_result | None]:
    """(size, None) of a file, (0, facts) of a folder to list."""
    try:
        facts = entry.stat()
        if entry.is_symlink() and boundary.target(entry.path) is None:
            return OUTSIDE, None
    except OSError as error:
        if error.errno not in FILE_ERRORS:
            raise
        return UNREADABLE, None
    if stat.S_ISDIR(facts.st_mode):
        return 0, facts
    return (facts.st_size if stat.S_ISREG(facts.st_mode) else UNREADABLE), None


class Folder:
    """The files of a folder by name, or files that a manifest names relative to it."""

    def __init__(
        self, root: Path, sizes: dict[str, int], boundary: Boundary | None = None, bounds: Bounds | None = None
    ) -> None:
        self.root = root
        self.boundary = boundary or Boundary(root)
        self.bounds = bounds or Bounds()
        self._checked: set[str] = set()
        self._names = printable(list(sizes))
        self.sizes = {text: sizes[name] for text, name in self._names.items()}

    @classmethod
    def listed(cls, root: Path, names: Sequence[str], boundary: Boundary | None = None) -> Folder:
        """Of the files named alone; a name that leads out of the boundary (by default of ``root``) is OUTSIDE."""
        boundary = boundary or Boundary(root)
        return cls(root, {name: _size(root, name, boundary) for name in names}, boundary)

    def read(self, names: Sequence[str], limit: int) -> Iterator[tuple[int, Content]]:
        """(index, content) of each name, in order; a bounded number of bytes is held at a time."""
        workers = runtime.workers()
        # reading waits for the disk or the network more than for a core
        with ThreadPoolExecutor(min(4 * workers, 32)) as pool:
            tasks = (pool.submit(self._chunk, names, chunk, limit) for chunk in self._chunks(names))
            pending = deque(itertools.islice(tasks, 2 * workers))
            while pending:
                done = pending.popleft().result()
                pending.extend(itertools.islice(tasks, 1))
                yield from done

    def spool(self, name: str) -> BinaryIO:
        """A file to be read at random; empty if it cannot be read. Raises InputError beyond the bounds."""
        if self.sizes[name] < 0:
            return io.BytesIO()
        try:
            path = self.boundary.target(os.path.join(self.root, self._names[name]))
            file = io.BufferedReader(open_regular(path)) if path is not None else io.BytesIO()
        except OSError as error:
            if error.errno not in FILE_ERRORS:
                raise
            return io.BytesIO()
        if name in self._checked:  # a Parquet file, which is checked at once
            return file
        if name.casefold().endswith((".parquet", ".pq")):
            self._checked.add(name)
        return self.bounds.table(file, self.sizes[name], name)

    def include(self, name: str) -> None:
        """Adds a file that a table names, and that was not listed."""
        if name not in self.sizes:
            self._names[name], self.sizes[name] = name, _size(self.root, name, self.boundary)

    def _chunks(self, names: Sequence[str]) -> Iterator[range]:
        start, size = 0, 0
        for index, name in enumerate(names):
            size += max(self.sizes[name], 0)
            if index + 1 - start >= _CHUNK_FILES or size >= _CHUNK_BYTES:
                yield range(start, index + 1)
                start, size = index + 1, 0
        if start < len(names):
            yield range(start, len(names))

    def _chunk(self, names: Sequence[str], indices: range, limit: int) -> list[tuple[int, Content]]:
        return [(index, self._content(names[index], limit)) for index in indices]

    def _content(self, name: str, limit: int) -> Content:
        size = self.sizes[name]
        if size == OUTSIDE:
            return Content.outside()
        if size < 0:
            return Content.unreadable()
        if size > limit:
            return Content.too_large(size)
        try:
            path = self.boundary.target(os.path.join(self.root, self._names[name]))
            if path is None:  # a link now, and leads out
                return Content.outside()
            with open_regular(path) as file:
                data = file.read(size + 1)
                # a file that grew meanwhile, or a read that was cut short
                while len(data) <= limit and (more := file.read(min(_CHUNK_BYTES, limit + 1 - len(data)))):
                    data += more
        except OSError as error:
            if error.errno not in FILE_ERRORS:
                raise
            return Content.unreadable(size)
        return Content.of(data) if len(data) <= limit else Content.too_large(len(data))


def open_regular(path: str) -> io.FileIO:
    """Opens a regular file that is no link; anything else raises OSError and is not opened, or closed unread.

    Opening a pipe would wait for a writer, and opening a device may do anything. If the file is replaced between the
    check and the opening, O_NONBLOCK keeps the opening from waiting.
    """
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise OSError(errno.EINVAL, "not a regular file", path)
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return io.FileIO(number)


def _size(root: Path, name: str, boundary: Boundary) -> int:
    try:
        facts = os.stat(os.path.join(root, name))
        if boundary.target(os.path.join(root, name)) is None:
            return OUTSIDE
    except (OSError, ValueError):  # ValueError: a name with a zero byte
        return UNREADABLE
    return facts.st_size if stat.S_ISREG(facts.st_mode) else UNREADABLE
