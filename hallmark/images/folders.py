"""Files of a folder: found by walking it, read by several threads, handed on in order."""

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
from hallmark.images.found import Content, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

_CHUNK_FILES = 64
_CHUNK_BYTES = 8 * 2**20
# the file itself is at fault; any other error is the machine's
_FILE_ERRORS = {
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


def walk(folder: Path) -> dict[str, int]:
    """Every file below the folder, hidden ones too, and its size in bytes, -1 where it cannot be read.

    Names are relative, POSIX, as the file system gives them. Links are followed; a broken one, one into a folder that
    it lies in, and what is no regular file (a pipe, a device) have size -1. Raises MachineError where a folder cannot
    be listed.
    """
    sizes: dict[str, int] = {}
    folders: list[tuple[str, str, frozenset[tuple[int, int]]]] = [(os.fspath(folder), "", frozenset())]
    while folders:
        place, prefix, above = folders.pop()
        try:
            here = os.stat(place)
            above = above | {(here.st_dev, here.st_ino)}
            with os.scandir(place) as entries:
                for entry in entries:
                    name = prefix + entry.name
                    try:
                        facts = entry.stat()
                    except OSError as error:
                        if error.errno not in _FILE_ERRORS:
                            raise
                        sizes[name] = -1
                        continue
                    if not stat.S_ISDIR(facts.st_mode):
                        sizes[name] = facts.st_size if stat.S_ISREG(facts.st_mode) else -1
                    elif (facts.st_dev, facts.st_ino) in above:
                        sizes[name] = -1
                    else:
                        folders.append((entry.path, f"{name}/", above))
        except PermissionError as error:
            raise MachineError(
                f"ingest.source: no permission to list the folder '{place}'",
                remedy="give read and execute permission on it (chmod u+rx)",
            ) from error
    return sizes


class Folder:
    """The files of a folder by name, or files that a manifest names relative to it."""

    def __init__(self, root: Path, sizes: dict[str, int]) -> None:
        self.root = root
        self._names = printable(list(sizes))
        self.sizes = {text: sizes[name] for text, name in self._names.items()}

    @classmethod
    def listed(cls, root: Path, names: Sequence[str]) -> Folder:
        """Of the files named alone; a name may lead out of the folder."""
        return cls(root, {name: _size(root, name) for name in names})

    def read(self, names: Sequence[str], limit: int) -> Iterator[tuple[int, Content]]:
        """(place, content) of each name, in order; a bounded number of bytes is held at a time."""
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
        """A file to be read at random; one of no bytes where it is no regular file."""
        if self.sizes[name] < 0:
            return io.BytesIO()
        return open(os.path.join(self.root, self._names[name]), "rb")

    def _chunks(self, names: Sequence[str]) -> Iterator[range]:
        start, size = 0, 0
        for place, name in enumerate(names):
            size += max(self.sizes[name], 0)
            if place + 1 - start >= _CHUNK_FILES or size >= _CHUNK_BYTES:
                yield range(start, place + 1)
                start, size = place + 1, 0
        if start < len(names):
            yield range(start, len(names))

    def _chunk(self, names: Sequence[str], places: range, limit: int) -> list[tuple[int, Content]]:
        return [(place, self._content(names[place], limit)) for place in places]

    def _content(self, name: str, limit: int) -> Content:
        size = self.sizes[name]
        if size < 0:
            return Content.unreadable()
        if size > limit:
            return Content.too_large(size)
        try:
            with open(os.path.join(self.root, self._names[name]), "rb", buffering=0) as file:
                data = file.read(size + 1)
                # a file that grew meanwhile, or a read that was cut short
                while len(data) <= limit and (more := file.read(min(_CHUNK_BYTES, limit + 1 - len(data)))):
                    data += more
        except OSError as error:
            if error.errno not in _FILE_ERRORS:
                raise
            return Content.unreadable(size)
        return Content.of(data) if len(data) <= limit else Content.too_large(len(data))


def _size(root: Path, name: str) -> int:
    try:
        facts = os.stat(os.path.join(root, name))
    except (OSError, ValueError):  # ValueError: a name with a zero byte
        return -1
    return facts.st_size if stat.S_ISREG(facts.st_mode) else -1
