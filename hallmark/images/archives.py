"""Files of a .zip or .tar: listed and read in place. Nothing is ever extracted, so no member can escape.

Of members of one name the last counts, as when extracting. Links lead to other members of the archive or nowhere.
"""

from __future__ import annotations

import lzma
import posixpath
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from typing import TYPE_CHECKING, BinaryIO, Literal

from hallmark.contracts.errors import InputError
from hallmark.images.found import Content, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_LONGEST_LINK = 4096
# a broken member, one that is encrypted, or packed in a way that Python does not know
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError)


class Zip:
    """The members of a .zip."""

    packed: Literal["zip"] = "zip"

    def __init__(self, path: Path) -> None:
        self.path = path
        links: dict[str, str] = {}
        members: dict[str, zipfile.ZipInfo] = {}
        try:
            with zipfile.ZipFile(path) as archive:
                for member in archive.infolist():
                    if member.is_dir():
                        continue
                    name = _name(member.filename)
                    links.pop(name, None)
                    members[name] = member
                    if stat.S_ISLNK(member.external_attr >> 16) and member.file_size <= _LONGEST_LINK:
                        links[name] = archive.read(member).decode("utf-8", "surrogateescape")
        except _ZIP_ERRORS as error:
            raise _unreadable(path, error) from error
        self._names = printable(list(members))
        targets = _follow(links, members)
        self._members = {text: members[targets[name]] for text, name in self._names.items() if name in targets}
        self.sizes = {text: self._members[text].file_size if text in self._members else 0 for text in self._names}

    def read(self, names: Sequence[str], limit: int) -> Iterator[tuple[int, Content]]:
        """(place, content) of each name, in the order they lie in the archive."""
        there = [place for place, name in enumerate(names) if name in self._members]
        there.sort(key=lambda place: (self._members[names[place]].header_offset, place))
        with zipfile.ZipFile(self.path) as archive:
            for place in there:
                yield place, self._content(archive, self._members[names[place]], limit)
        yield from ((place, Content.unreadable()) for place, name in enumerate(names) if name not in self._members)

    @staticmethod
    def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> Content:
        if member.file_size > limit:
            return Content.too_large(member.file_size)
        try:
            with archive.open(member) as file:
                data = file.read(limit + 1)
        except _ZIP_ERRORS:
            return Content.unreadable(member.file_size)
        return Content.of(data) if len(data) <= limit else Content.too_large(len(data))

    def spool(self, name: str) -> BinaryIO:
        """A member as a file without a name on the disk, to be read at random."""
        file = tempfile.TemporaryFile()
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(self._members[name]) as member:
                shutil.copyfileobj(member, file)
        except _ZIP_ERRORS as error:
            raise _unreadable(self.path, error) from error
        file.seek(0)
        return file


class Tar:
    """The members of a .tar, packed or not. It is passed through once to list it and once to read it."""

    packed: Literal["tar"] = "tar"

    def __init__(self, path: Path) -> None:
        self.path = path
        links: dict[str, str] = {}
        sizes: dict[str, int] = {}
        last: dict[str, int] = {}
        for number, _, member in self._members():
            if member.isdir():
                continue
            name = _name(member.name)
            links.pop(name, None)
            last[name], sizes[name] = number, member.size if member.isreg() else -1
            if member.issym():
                links[name] = member.linkname
            elif member.islnk():
                # unlike that of a symbolic link, the target of a hard link is told from the archive's root
                links[name] = posixpath.relpath(_name(member.linkname), posixpath.dirname(name) or ".")
        self._names = printable(list(last))
        regular = [name for name in last if name in links or sizes[name] >= 0]
        targets = _follow(links, regular)
        self._numbers = {text: last[targets[name]] for text, name in self._names.items() if name in targets}
        self.sizes = {
            text: max(sizes[targets[name]], 0) if name in targets else 0 for text, name in self._names.items()
        }

    def read(self, names: Sequence[str], limit: int) -> Iterator[tuple[int, Content]]:
        """(place, content) of each name, in the order they lie in the archive."""
        wanted: dict[int, list[int]] = {}
        for place, name in enumerate(names):
            if name in self._numbers:
                wanted.setdefault(self._numbers[name], []).append(place)
        for number, archive, member in self._members():
            if number not in wanted:
                continue
            if member.size > limit:
                content = Content.too_large(member.size)
            else:
                file = archive.extractfile(member)
                content = Content.unreadable(member.size) if file is None else Content.of(file.read())
            yield from ((place, content) for place in wanted[number])
        yield from ((place, Content.unreadable()) for place, name in enumerate(names) if name not in self._numbers)

    def spool(self, name: str) -> BinaryIO:
        """A member as a file without a name on the disk, to be read at random."""
        file = tempfile.TemporaryFile()
        for number, archive, member in self._members():
            if number == self._numbers[name] and (source := archive.extractfile(member)) is not None:
                shutil.copyfileobj(source, file)
                break
        file.seek(0)
        return file

    def _members(self) -> Iterator[tuple[int, tarfile.TarFile, tarfile.TarInfo]]:
        """Each member with its number, as they lie in the archive."""
        try:
            with tarfile.open(self.path, "r:*") as archive:
                number = 0
                while (member := archive.next()) is not None:
                    # the archive would remember every member, which for millions of images is gigabytes
                    archive.members = []  # type: ignore[attr-defined]
                    yield number, archive, member
                    number += 1
        except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise _unreadable(self.path, error) from error


def _name(stored: str) -> str:
    """A member's name, without the leading dot that ``tar cf x.tar .`` writes."""
    return posixpath.normpath(stored)


def _follow(links: Mapping[str, str], members: Mapping[str, object] | Sequence[str]) -> dict[str, str]:
    """The member each name stands for; names whose links lead nowhere are left out."""
    known = set(members)
    targets = {}
    for name in known:
        target, steps = name, 0
        while target in links and steps < 40:
            target, steps = posixpath.normpath(posixpath.join(posixpath.dirname(target), links[target])), steps + 1
        if target in known and target not in links:
            targets[name] = target
    return targets


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(
        f"ingest.source: the archive {path.name} cannot be read: {error}", remedy="write or download it again"
    )
