"""The common form of every kind of source: its files, and their bytes as a stream."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

Value = str | int | float | bool | None
Kind = Literal[
    "class_folders",
    "split_folders",
    "listed_files",
    "csv_manifest",
    "parquet_manifest",
    "parquet_images",
    "parquet_shards",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One file of a source, before its bytes are read.

    ``path`` is the ledger's; ``reasons`` are those known from its path or row: ``stray_file``, ``unlabelled``.
    """

    path: str
    label: str | None
    group: str | None = None
    given_split: str | None = None
    reasons: tuple[str, ...] = ()
    metadata: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """The bytes of one file, or why there are none: ``unreadable_file``, ``outside_source`` or ``too_large``.

    ``size`` is in bytes, 0 if unknown; ``sha256`` is empty if there are no bytes.
    """

    data: bytes | None
    size: int
    sha256: str = ""
    reason: str = ""

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Of bytes that were read in full."""
        return cls(data=data, size=len(data), sha256=hashlib.sha256(data).hexdigest())

    @classmethod
    def unreadable(cls, size: int = 0) -> Self:
        """Of a file that cannot be read."""
        return cls(data=None, size=size, reason="unreadable_file")

    @classmethod
    def outside(cls) -> Self:
        """Of a path that leads out of the source."""
        return cls(data=None, size=0, reason="outside_source")

    @classmethod
    def too_large(cls, size: int) -> Self:
        """Of a file above the limit of what is read."""
        return cls(data=None, size=size, reason="too_large")


@dataclass(frozen=True, kw_only=True)
class Source:
    """A source that was opened.

    ``entries`` are its files, sorted by path, each path once. ``contents(limit)`` yields (index in ``entries``,
    content) once for each, in the order that suits the storage (the same each time), reading no file of more than
    ``limit`` bytes. ``packed`` is empty, ``zip`` or ``tar``; ``expected_bytes`` is about what all contents come to.
    ``untyped``: labels and groups are cells of a table without types, where a number may be written in several ways.
    """

    kind: Kind
    packed: Literal["", "zip", "tar"]
    entries: Sequence[Entry]
    expected_bytes: int
    contents: Callable[[int], Iterator[tuple[int, Content]]]

    @property
    def untyped(self) -> bool:
        return self.kind in ("csv_manifest", "listed_files")


def printable(names: Sequence[str]) -> dict[str, str]:
    """Each name of a file system as text that UTF-8 can hold, each text once; keys are the texts, values the names.

    Bytes that are no UTF-8 (Python's lone surrogates) become ``\\xff``, with ``~`` and a number where that is taken.

    >>> printable(["na\\udcefve.png", "a.png"])
    {'a.png': 'a.png', 'na\\\\xefve.png': 'na\\udcefve.png'}
    """
    texts: dict[str, str] = {}
    broken = []
    for name in names:
        if name.isascii() or _encodable(name):
            texts[name] = name
        else:
            broken.append(name)
    for name in sorted(broken, key=lambda name: name.encode("utf-8", "surrogateescape")):
        text = stem = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        number = 2
        while text in texts:
            text, number = f"{stem}~{number}", number + 1
        texts[text] = name
    return texts


def _encodable(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
