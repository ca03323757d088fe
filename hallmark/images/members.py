"""Common code of .zip and .tar: names and links of members, and missing members.

Links lead to other members of the archive or nowhere.
"""

from __future__ import annotations

import posixpath
import tempfile
from typing import TYPE_CHECKING, BinaryIO

from hallmark.contracts.errors import InputError
from hallmark.images.boundary import leads_out
from hallmark.images.entries import Content

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence, Set
    from pathlib import Path


def spooled(chunks: Iterator[bytes]) -> BinaryIO:
    """The bytes as a file without a name on the disk."""
    file = tempfile.TemporaryFile()
    try:
        for chunk in chunks:
            file.write(chunk)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def without(names: Sequence[str], there: Mapping[str, object], outside: set[str]) -> Iterator[tuple[int, Content]]:
    """The names of no member: those that lead out of the archive, and those that lead nowhere."""
    for index, name in enumerate(names):
        if name not in there:
            yield index, Content.outside() if name in outside or leads_out(name) else Content.unreadable()


def member_name(stored: str) -> str:
    """A member's name, without the leading dot that ``tar cf x.tar .`` writes."""
    return posixpath.normpath(stored)


#: No normalised name is empty.
OUTSIDE = ""


def follow(links: Mapping[str, str], members: Set[str]) -> dict[str, str]:
    """The member each name stands for, or OUTSIDE; names whose links lead nowhere are left out."""
    targets = {}
    for name in members:
        target, steps = name, 0
        while target in links and steps < 40:
            target, steps = posixpath.normpath(posixpath.join(posixpath.dirname(target), links[target])), steps + 1
        if target != name and leads_out(target):
            targets[name] = OUTSIDE
        elif target in members and target not in links:
            targets[name] = target
    return targets


def unreadable(path: Path, error: Exception) -> InputError:
    """The error for a file that is not a valid archive."""
    return InputError(
        f"the archive {path.name} cannot be read: {error}", remedy="write or download it again", field="source"
    )
