"""Folders of Parquet shards, such as snapshots of data sets from Hugging Face's hub.

Shards are named like ``data/train-00000-of-00002.parquet``, ``<config>/test-00000-of-00001.parquet`` or
``default/train/0000.parquet``. The split comes from the shard's name, else from its folder. The image in row N of a
shard has the path ``<shard>/row:N``.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from typing import TYPE_CHECKING, Protocol

from hallmark.contracts.errors import InputError
from hallmark.images import labels, layouts, splits
from hallmark.images.boundary import leads_out
from hallmark.images.entries import Content, Entry, Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import BinaryIO, Literal

_SUFFIXES = (".parquet", ".pq")
_NUMBER = re.compile(r"[-_.]?\d+[-_]of[-_]\d+$|[-_]\d+$")


class Files(Protocol):
    """The files of a folder or an archive by name."""

    sizes: dict[str, int]

    def spool(self, name: str) -> BinaryIO: ...

    def read(self, names: Sequence[str], limit: int) -> Iterator[tuple[int, Content]]: ...


def snapshot(files: Files, source: str, packed: Literal["", "zip", "tar"]) -> Source | None:
    """A folder or archive of image shards as a source; None if it holds other images or no shard.

    Raises InputError if the shards belong to several data sets or only some of their names mention a split.
    """
    visible = [name for name in files.sizes if not layouts.is_stray(name.split("/"))]
    tables = sorted(name for name in visible if posixpath.splitext(name)[1].casefold() in _SUFFIXES)
    if not tables or any(not layouts.is_document(name) for name in visible):
        return None
    shards = [name for name in tables if files.sizes[name] > 0 and _holds_images(files, name)]
    if not shards:
        return None
    _refuse_several(shards, source)
    by_shard = _splits(shards)
    rows = _rows(files, shards, by_shard)
    others = sorted(set(files.sizes) - set(shards))
    entries = [*rows, *(Entry(path=name, label=None, reasons=("stray_file",)) for name in others)]
    entries.sort(key=lambda row: row.path)
    index_of = {row.path: index for index, row in enumerate(entries)}
    return Source(
        kind="parquet_shards",
        packed=packed,
        entries=entries,
        expected_bytes=sum(files.sizes[name] for name in shards),
        contents=lambda limit: _contents(files, shards, others, index_of, limit),
    )


def _holds_images(files: Files, name: str) -> bool:
    from hallmark.images.parquets import Table

    with files.spool(name) as file:
        return Table(file, name).image is not None


def _refuse_several(shards: Sequence[str], source: str) -> None:
    """Raises InputError for shards of several configurations, since each configuration is a data set of its own."""
    configurations: dict[str, str] = {}
    for name in shards:
        folders = name.split("/")[:-1]
        own = [folder for folder in folders if folder.casefold() != "data" and splits.split_of(folder) is None]
        configurations.setdefault("/".join(own), "/".join(folders))
    if len(configurations) > 1:
        names = sorted(configurations.values())
        raise InputError(
            f"'{source}' holds the shards of {len(names)} data sets: {', '.join(name or '.' for name in names[:5])}",
            remedy=f"give the folder of one of them, such as ingest.source={posixpath.join(source, names[-1])}",
            field="source",
        )


def _splits(shards: Sequence[str]) -> dict[str, str | None]:
    """The split of each shard. Raises InputError if some have one and others have none."""
    by_stem = {}
    for name in shards:
        folders, stem = name.split("/")[:-1], posixpath.splitext(posixpath.basename(name))[0]
        stem = _NUMBER.sub("", stem)
        if splits.parse(stem)[0] is None:
            stem = next((folder for folder in reversed(folders) if splits.split_of(folder)), "")
        by_stem[name] = stem
    split_by_stem = splits.split_of_each(set(by_stem.values()))
    by_name = {name: split_by_stem.get(stem) or splits.parse(stem)[0] for name, stem in by_stem.items()}
    without = [name for name, split in by_name.items() if split is None]
    if without and len(without) < len(by_name):
        raise InputError(
            f"{', '.join(without[:5])} mentions no split in its name, unlike other shards",
            remedy="rename it after its split (train-00000-of-00001.parquet), or move it out of the source",
            field="source",
        )
    return by_name


def _rows(files: Files, shards: Sequence[str], by_shard: Mapping[str, str | None]) -> list[Entry]:
    from hallmark.images.parquets import Table

    rows: list[Entry] = []
    names: list[str] | None = None
    unnamed: list[str] = []
    for name in shards:
        with files.spool(name) as file:
            own = Table(file, name).class_names()
        if own is None:
            unnamed.append(name)
        names = names or own
    for name in shards:
        with files.spool(name) as file:
            table = Table(file, name)
            if name in unnamed and names is not None:
                table.name_classes(names)
            rows.extend(table.images(prefix=f"{name}/", split=by_shard[name]))
    if not rows:
        raise InputError("the Parquet shards have no rows", remedy="give tables with one row per image", field="source")
    labels.refuse_lists(Counter(row.label for row in rows if row.label is not None), "the shards")
    return rows


def _contents(
    files: Files, shards: Sequence[str], others: Sequence[str], index_of: Mapping[str, int], limit: int
) -> Iterator[tuple[int, Content]]:
    from hallmark.images.parquets import Table

    for name in shards:

        def elsewhere(path: str, limit: int, folder: str = posixpath.dirname(name)) -> Content:
            member = posixpath.normpath(posixpath.join(folder, path))
            if member not in files.sizes:
                return Content.outside() if leads_out(member) else Content.unreadable()
            return next(content for _, content in files.read([member], limit))

        with files.spool(name) as file:
            for number, content in enumerate(Table(file, name).contents(limit, elsewhere)):
                yield index_of[f"{name}/row:{number}"], content
    for number, content in files.read(others, limit):
        yield index_of[others[number]], content
