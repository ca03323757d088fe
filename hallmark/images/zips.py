"""Lists and reads the members of a .zip in place. Nothing is extracted, so no member can leave the folder.

If several members have the same name, the last counts, as in extraction.
"""

from __future__ import annotations

import io
import lzma
import stat
import struct
import zipfile
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Literal

from hallmark.contracts.errors import InputError
from hallmark.images.bounds import Bounds, read_chunks
from hallmark.images.entries import Content, printable
from hallmark.images.members import OUTSIDE, follow, member_name, spooled, unreadable, without

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_LONGEST_LINK = 4096
# members that are corrupt, encrypted, or compressed by a method that Python does not support
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
    struct.error,
)


class Zip:
    """The members of a .zip."""

    packed: Literal["zip"] = "zip"

    def __init__(self, path: Path, bounds: Bounds | None = None) -> None:
        self.path = path
        self._size = path.stat().st_size
        self.bounds = bounds or Bounds()
        links: dict[str, str] = {}
        members: dict[str, zipfile.ZipInfo] = {}
        broken: set[str] = set()
        with self._opened() as archive:
            listed = archive.infolist()
            self.bounds.files(len(listed), path.name)
            # some Windows tools write backslashes, although the format demands slashes
            separator = "/" if any("/" in member.filename for member in listed) else "\\"
            for member in listed:
                if member.filename.endswith(separator):
                    continue
                name = member_name(member.filename.replace(separator, "/"))
                links.pop(name, None)
                broken.discard(name)
                members[name] = member
                if stat.S_ISLNK(member.external_attr >> 16) and member.file_size <= _LONGEST_LINK:
                    try:
                        links[name] = archive.read(member).decode("utf-8", "surrogateescape")
                    except _ZIP_ERRORS:
                        broken.add(name)
        self._names = printable(list(members))
        targets = follow(links, set(members) - broken)
        self._outside = {text for text, name in self._names.items() if targets.get(name) == OUTSIDE}
        self._members = {
            text: members[target] for text, name in self._names.items() if (target := targets.get(name)) in members
        }
        self.sizes = {text: self._members[text].file_size if text in self._members else 0 for text in self._names}

    def read(self, names: Sequence[str], limit: int) -> Iterator[tuple[int, Content]]:
        """(index, content) of each name, in archive order. Raises InputError if the members expand too far."""
        present = [index for index, name in enumerate(names) if name in self._members]
        present.sort(key=lambda index: (self._members[names[index]].header_offset, index))
        # by object, since a zip bomb has many entries that share the same bytes
        sizes = {id(self._members[names[index]]): self._members[names[index]].file_size for index in present}
        self._check(sum(size for size in sizes.values() if size <= limit))
        with self._opened() as archive:
            last, content = None, Content.unreadable()
            for index in present:
                member = self._members[names[index]]
                if member is not last:  # links to one member are read once
                    last, content = member, self._content(archive, member, limit)
                yield index, content
        yield from without(names, self._members, self._outside)

    @staticmethod
    def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> Content:
        if member.file_size > limit:
            return Content.too_large(member.file_size)
        try:
            with archive.open(member) as file:
                data = b"".join(read_chunks(file))
        except _ZIP_ERRORS:
            return Content.unreadable(member.file_size)
        return Content.of(data)

    def heads(self, names: Sequence[str], size: int) -> dict[str, bytes]:
        """The first ``size`` bytes of some members; empty for a member that cannot be read."""
        heads = {}
        with self._opened() as archive:
            for name in names:
                try:
                    with archive.open(self._members[name]) as member:
                        heads[name] = member.read(size)
                except (KeyError, *_ZIP_ERRORS):
                    heads[name] = b""
        return heads

    def spool(self, name: str) -> BinaryIO:
        """A member as an unnamed temporary file with random access; empty if it cannot be read."""
        self._check(self.sizes[name])
        with self._opened() as archive:
            try:
                member = archive.open(self._members[name])
            except (KeyError, *_ZIP_ERRORS):
                return io.BytesIO()
            with member:
                return self.bounds.table(spooled(read_chunks(member)), self._size, name)

    def include(self, name: str) -> None:
        """Adds a missing member that a table names."""
        self.sizes.setdefault(name, -1)

    def _check(self, size: int) -> None:
        self.bounds.expanded(size, self._size, self.path.name)

    @contextmanager
    def _opened(self) -> Iterator[zipfile.ZipFile]:
        try:
            with zipfile.ZipFile(self.path) as archive:
                yield archive
        except InputError:
            raise
        except _ZIP_ERRORS as error:
            raise unreadable(self.path, error) from error
