"""Files of a .tar, packed or not: listed and read in place. Nothing is ever extracted, so no member can escape.

Of members of one name the last counts, as when extracting.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import posixpath
import tarfile
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

from hallmark.contracts.errors import InputError
from hallmark.images.bounds import Bounds, read_chunks
from hallmark.images.entries import Content, printable
from hallmark.images.members import OUTSIDE, follow, member_name, spooled, unreadable, without

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from typing import IO

_TAR_ERRORS = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, ValueError, OverflowError, RecursionError)
# what tarfile may ask for at once: headers are read whole, and one may claim gigabytes
_MOST_AT_ONCE = 16 * 2**20


class Tar:
    """The members of a .tar, packed or not. It is passed through once to list it and once to read it."""

    packed: Literal["tar"] = "tar"

    def __init__(self, path: Path, bounds: Bounds | None = None) -> None:
        self.path = path
        self._size = path.stat().st_size
        self.bounds = bounds or Bounds()
        links: dict[str, str] = {}
        sizes: dict[str, int] = {}
        last: dict[str, int] = {}
        for number, _, member in self._members():
            self.bounds.files(number + 1, path.name)
            if member.isdir():
                continue
            name = member_name(member.name)
            links.pop(name, None)
            last[name], sizes[name] = number, member.size if member.isreg() else -1
            if member.issym():
                links[name] = member.linkname
            elif member.islnk():
                # unlike that of a symbolic link, the target of a hard link is relative to the archive's root
                links[name] = posixpath.relpath(member_name(member.linkname), posixpath.dirname(name) or ".")
        self._names = printable(list(last))
        targets = follow(links, {name for name in last if name in links or sizes[name] >= 0})
        self._outside = {text for text, name in self._names.items() if targets.get(name) == OUTSIDE}
        resolved = {text: target for text, name in self._names.items() if (target := targets.get(name)) in last}
        self._numbers = {text: last[target] for text, target in resolved.items()}
        self.sizes = {text: max(sizes[resolved[text]], 0) if text in resolved else 0 for text in self._names}

    def read(self, names: Sequence[str], limit: int) -> Iterator[tuple[int, Content]]:
        """(index, content) of each name, in the order they lie in the archive; InputError if they expand too far."""
        wanted: dict[int, list[int]] = {}
        for index, name in enumerate(names):
            if name in self._numbers:
                wanted.setdefault(self._numbers[name], []).append(index)
        sizes = (self.sizes[names[places[0]]] for places in wanted.values())
        self._check(sum(size for size in sizes if size <= limit))
        for number, archive, member in self._members():
            if number not in wanted:
                continue
            if member.size > limit:
                content = Content.too_large(member.size)
            else:
                file = archive.extractfile(member)
                content = Content.unreadable(member.size) if file is None else Content.of(b"".join(read_chunks(file)))
            yield from ((index, content) for index in wanted[number])
        yield from without(names, self._numbers, self._outside)

    def heads(self, names: Sequence[str], size: int) -> dict[str, bytes]:
        """The first bytes of some members; of one that cannot be read, none."""
        heads = dict.fromkeys(names, b"")
        wanted = {self._numbers[name]: name for name in names if name in self._numbers}
        for number, archive, member in self._members():
            if not wanted:
                break
            if number in wanted and (source := archive.extractfile(member)) is not None:
                heads[wanted.pop(number)] = source.read(size)
        return heads

    def spool(self, name: str) -> BinaryIO:
        """A member as a file without a name on the disk, to be read at random; empty if it is no regular file."""
        self._check(self.sizes[name])
        for number, archive, member in self._members():
            if number == self._numbers.get(name) and (source := archive.extractfile(member)) is not None:
                return self.bounds.table(spooled(read_chunks(source)), self._size, name)
        return io.BytesIO()

    def include(self, name: str) -> None:
        """Adds a missing member that a table names."""
        self.sizes.setdefault(name, -1)

    def _check(self, size: int) -> None:
        self.bounds.expanded(size, self._size, self.path.name)

    def _members(self) -> Iterator[tuple[int, tarfile.TarFile, tarfile.TarInfo]]:
        """Each member with its number, as they lie in the archive."""
        try:
            with _unpacked(self.path) as file, _opened_tar(unpacked := _Unpacked(file, self._check)) as archive:
                number = 0
                while (member := archive.next()) is not None:
                    # the archive would remember every member, which for millions of images is gigabytes
                    archive.members = []  # type: ignore[attr-defined]
                    yield number, archive, member
                    number += 1
                # tarfile takes a header that it cannot read for the end, which is zeros or nothing
                if any(unpacked.last):
                    raise tarfile.ReadError(f"no header after member {number}: it is damaged or cut off")
        except InputError:
            raise
        except (*_TAR_ERRORS, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise unreadable(self.path, error) from error


def is_tar(path: Path) -> bool:
    """Whether a file is a .tar, packed or not, by its first header."""
    try:
        with _unpacked(path) as file:
            tarfile.TarInfo.frombuf(file.read(tarfile.BLOCKSIZE), tarfile.ENCODING, "surrogateescape")
    except (*_TAR_ERRORS, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        return isinstance(error, tarfile.EOFHeaderError)  # type: ignore[attr-defined]  # an empty one
    return True


def _unpacked(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        start = file.read(6)
    for signature, unpacked in _PACKERS.items():
        if start.startswith(signature):
            return unpacked(path)
    return path.open("rb")


_PACKERS: dict[bytes, Callable[[Path], IO[bytes]]] = {
    b"\x1f\x8b": lambda path: cast("IO[bytes]", gzip.open(path, "rb")),
    b"BZh": lambda path: bz2.open(path, "rb"),
    b"\xfd7zXZ\x00": lambda path: lzma.open(path, "rb"),
    b"\x5d\x00\x00": lambda path: lzma.open(path, "rb"),
}


class _Unpacked:
    """The unpacked bytes of an archive for tarfile, with a bound on how far and how much at once it may read."""

    def __init__(self, file: IO[bytes], check: Callable[[int], None]) -> None:
        self._file = file
        self._check = check
        self.last = b""  # what was read last

    def read(self, size: int) -> bytes:
        """Bytes, as many as asked for. Raises InputError beyond the bound, ValueError for too many at once."""
        if size > _MOST_AT_ONCE:
            raise ValueError(f"a header of {size} bytes")
        data = self._file.read(size)
        self._check(self._file.tell())
        self.last = data
        return data

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        """Goes to a position, which for a packed archive unpacks what lies before it."""
        self._check(position if whence == io.SEEK_SET else self._file.tell())
        return self._file.seek(position, whence)

    def tell(self) -> int:
        """The position."""
        return self._file.tell()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _opened_tar(file: Any) -> tarfile.TarFile:
    return tarfile.open(fileobj=file, mode="r:")
