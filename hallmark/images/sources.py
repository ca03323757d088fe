"""Opens ``ingest.source``, whatever kind it is.

A folder of class folders; a folder of train/val/test folders of class folders; a CSV or Parquet manifest; a Parquet
table of images as Hugging Face writes it; a .zip or .tar of one of these.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import os
import posixpath
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from hallmark.contracts.errors import InputError, MachineError
from hallmark.contracts.names import NO_FOLDER
from hallmark.images import layouts, listings, manifests
from hallmark.images.boundary import Boundary
from hallmark.images.bounds import Bounds
from hallmark.images.entries import Content, Entry, Source
from hallmark.images.folders import Folder, walk
from hallmark.images.snapshots import snapshot
from hallmark.images.tars import Tar, is_tar
from hallmark.images.zips import Zip

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hallmark.images.entries import Kind

_KINDS = "a folder of class folders, a CSV or Parquet manifest, a Parquet table of images, or a .zip or .tar of one"


def locate(source: str) -> Path:
    """The path of a source that is there and may be read. Raises InputError, MachineError."""
    path = Path(source)
    try:
        path.stat()
        readable = os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0), effective_ids=True)
    except (FileNotFoundError, NotADirectoryError) as error:
        home = "; '~' is not expanded, write the path in full" if source.startswith("~") else ""
        raise InputError(f"there is no '{source}'{home}", remedy=f"give {_KINDS}", field="source") from error
    except PermissionError:
        readable = False
    except (OSError, ValueError) as error:  # links in a circle, a name that is too long or holds a null byte
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"{source!r}: {reason}", remedy=f"give {_KINDS}", field="source") from error
    if not readable:
        raise MachineError(
            f"no permission to read '{source}'", remedy="give read permission on it (chmod -R u+rX)", field="source"
        )
    return path


def open_source(
    source: str,
    *,
    layout: str = "auto",
    images: str = NO_FOLDER,
    follow_outside: bool = False,
    bounds: Bounds | None = None,
) -> Source:
    """Lists a source: every file it holds, hidden and stray ones too; ``layout`` is that of its folders.

    Paths and links that lead outside (see :mod:`hallmark.images.boundary`) are not followed, unless ``follow_outside``;
    ``images`` is a folder that counts as inside. Raises InputError if the source is missing, empty, of an unsupported
    kind, ambiguous in layout or beyond the bounds, MachineError without permission to read it.
    """
    path = locate(source)
    bounds = bounds or Bounds()
    folder = path if path.is_dir() else path.parent
    boundary = Boundary() if follow_outside else Boundary.of(folder, images=images)
    if path.is_dir():
        return _folder(path, layout, boundary, bounds)
    if not path.is_file():
        raise InputError(f"'{source}' is no file and no folder", remedy=f"give {_KINDS}", field="source")
    if path.stat().st_size == 0:
        raise InputError(f"the file '{source}' is empty", remedy=f"give {_KINDS}", field="source")
    suffix = path.suffix.casefold()
    if suffix == ".csv":
        return _csv(path, boundary, bounds)
    if suffix in (".parquet", ".pq") or _begins(path, b"PAR1"):
        return _parquet(path, boundary, bounds)
    if zipfile.is_zipfile(path):
        return _archive(Zip(path, bounds), layout)
    if suffix == ".zip":
        raise InputError(
            f"'{path.name}' is no .zip by its content", remedy="write or download it again", field="source"
        )
    if is_tar(path):
        return _archive(Tar(path, bounds), layout)
    raise InputError(f"the file '{source}' is of no known kind", remedy=f"give {_KINDS}", field="source")


def _folder(path: Path, layout: str, boundary: Boundary, bounds: Bounds) -> Source:
    files = Folder(path, walk(path, boundary, bounds), boundary, bounds)
    if not files.sizes:
        raise InputError(
            f"the folder '{path}' holds no file", remedy="put images in it, in class folders", field="source"
        )
    _refuse_cache(path, files)
    shards = snapshot(files, str(path), "")
    if shards is not None:
        return _bounded(shards, bounds, shards.expected_bytes, str(path))
    return _arranged(files, layout, unwrap=False)


def _refuse_cache(path: Path, files: Folder) -> None:
    """Raises InputError for a data set's folder of the Hugging Face cache: it holds each file twice, and versions."""
    parts = [name.split("/") for name in files.sizes]
    tops = {file[0] for file in parts if not layouts.is_stray(file)}
    if {"blobs", "snapshots"} <= tops <= {"blobs", "snapshots", "refs"}:
        versions = sorted({file[1] for file in parts if file[0] == "snapshots" and len(file) > 2})
        raise InputError(
            f"'{path}' is a folder of the Hugging Face cache with {len(versions)} snapshots",
            remedy=f"give one of them, such as ingest.source={path / 'snapshots' / (versions or ['<commit>'])[-1]}",
            field="source",
        )


def _bounded(source: Source, bounds: Bounds, packed: int, name: str) -> Source:
    """The source of a table or archive of ``packed`` bytes, whose contents may not expand too far."""
    contents = source.contents
    return dataclasses.replace(source, contents=lambda limit: bounds.contents(contents(limit), packed, name))


def _arranged(files: Folder | Zip | Tar, layout: str, *, unwrap: bool) -> Source:
    listed = listings.listed(list(files.sizes), files.spool) if layout == "auto" else None
    if listed is None:
        return _stored(*layouts.arrange(files.sizes, unwrap=unwrap, layout=layout), files)
    for row in listed:
        files.include(row.path)
    return _stored("listed_files", listed, files)


def _csv(path: Path, boundary: Boundary, bounds: Bounds) -> Source:
    with path.open("rb") as file:
        entries = manifests.read_csv(bounds.lines(file, path.name), path.name)
    return _stored("csv_manifest", *_beside(path.parent, entries, boundary))


def _parquet(path: Path, boundary: Boundary, bounds: Bounds) -> Source:
    from hallmark.images.parquets import Table

    size = path.stat().st_size
    bounds.parquet(path, size, path.name)
    table = Table(path, path.name)
    entries = table.entries()
    if table.image is None:
        return _stored("parquet_manifest", *_beside(path.parent, entries, boundary))

    def elsewhere(name: str, limit: int) -> Content:
        return next(content for _, content in Folder.listed(path.parent, [name], boundary).read([name], limit))

    source = Source(
        kind="parquet_images",
        packed="",
        entries=entries,
        expected_bytes=size,
        contents=lambda limit: _in_order(entries, table.contents(limit, elsewhere)),
    )
    return _bounded(source, bounds, size, path.name)


def _beside(folder: Path, entries: list[Entry], boundary: Boundary) -> tuple[list[Entry], Folder]:
    """The files a manifest names; a path written with backslashes is read as the path it stands for."""
    files = Folder.listed(folder, [row.path for row in entries], boundary)
    if not any("\\" in row.path and files.sizes[row.path] < 0 for row in entries):
        return entries, files
    names = {
        row.path: posixpath.normpath(row.path.replace("\\", "/")) if files.sizes[row.path] < 0 else row.path
        for row in entries
    }
    return _renamed(entries, names), Folder.listed(folder, list(names.values()), boundary)


def _renamed(entries: Sequence[Entry], names: dict[str, str]) -> list[Entry]:
    renamed = {names[row.path]: dataclasses.replace(row, path=names[row.path]) for row in entries}
    if len(renamed) < len(entries):
        raise InputError(
            "the manifest gives a path twice, with slashes and backslashes", remedy="keep one of them", field="source"
        )
    return [renamed[path] for path in sorted(renamed)]


def _archive(archive: Zip | Tar, layout: str) -> Source:
    names = list(archive.sizes)
    if not names:
        raise InputError(f"the archive '{archive.path.name}' holds no file", remedy="put images in it", field="source")
    table = _table_in(archive, names)
    return table or _arranged(archive, layout, unwrap=True)


def _table_in(archive: Zip | Tar, names: Sequence[str]) -> Source | None:
    """The source a manifest or a table of images makes of its archive, at the root or in the one folder there."""
    visible = [name.split("/") for name in names if not layouts.is_stray(name.split("/"))]
    root = layouts.wrapper(visible)
    top = [name for name in map("/".join, visible) if posixpath.dirname(name) in ("", root)]
    suffixes = {name: posixpath.splitext(name)[1].casefold() for name in top}
    heads = archive.heads([name for name in top if suffixes[name] in (".csv", ".parquet", ".pq")], 2**16)
    tables = []
    for name, head in heads.items():
        if suffixes[name] == ".csv":
            if set(manifests.NEEDED) <= set(manifests.csv_header(io.BytesIO(head))):
                tables.append(name)
        elif head:  # else it cannot be read: a row of its own
            tables.append(name)
    if len(tables) != 1 or "/" in tables[0]:
        shards = snapshot(archive, archive.path.name, archive.packed)
        if shards is not None:
            return _bounded(shards, archive.bounds, archive.path.stat().st_size, archive.path.name)
    if len(tables) > 1:
        raise InputError(
            f"the archive '{archive.path.name}' holds {len(tables)} tables: {', '.join(tables)}",
            remedy="keep one of them in it",
            field="source",
        )
    return _from_table(archive, tables[0], names) if tables else None


def _from_table(archive: Zip | Tar, name: str, names: Sequence[str]) -> Source:
    from hallmark.images.parquets import Table

    folder = posixpath.dirname(name)
    with archive.spool(name) as file:
        if name.casefold().endswith(".csv"):
            kind: Kind = "csv_manifest"
            entries = manifests.read_csv(file, name)
        else:
            kind = "parquet_manifest"
            table = Table(file, name)
            entries = table.entries()
            if table.image is not None:
                return _images_in(archive, name, entries)
    members = {}
    for row in entries:
        member = posixpath.normpath(posixpath.join(folder, row.path))
        members[row.path] = member if member in archive.sizes else member.replace("\\", "/")
    rows = _renamed(entries, members)
    unlisted = sorted(set(names) - {row.path for row in rows} - {name})
    rows += [Entry(path=path, label=None, reasons=("stray_file",)) for path in unlisted]
    return _stored(kind, sorted(rows, key=lambda row: row.path), archive)


def _images_in(archive: Zip | Tar, name: str, entries: list[Entry]) -> Source:
    from hallmark.images.parquets import Table

    def elsewhere(path: str, limit: int) -> Content:
        member = posixpath.normpath(posixpath.join(posixpath.dirname(name), path))
        return next(content for _, content in archive.read([member], limit))

    def contents(limit: int) -> Iterator[tuple[int, Content]]:
        with archive.spool(name) as file:
            yield from _in_order(entries, Table(file, name).contents(limit, elsewhere))

    size = archive.path.stat().st_size
    source = Source(
        kind="parquet_images", packed=archive.packed, entries=entries, expected_bytes=size, contents=contents
    )
    return _bounded(source, archive.bounds, size, archive.path.name)


def _in_order(entries: Sequence[Entry], contents: Iterator[Content]) -> Iterator[tuple[int, Content]]:
    """The contents of a table's rows with their indices in ``entries``."""
    index_of = {row.path: index for index, row in enumerate(entries)}
    return ((index_of[f"row:{number}"], content) for number, content in enumerate(contents))


def _stored(kind: Kind, entries: Sequence[Entry], files: Folder | Zip | Tar) -> Source:
    names = [row.path for row in entries]
    return Source(
        kind=kind,
        packed="" if isinstance(files, Folder) else files.packed,
        entries=entries,
        expected_bytes=sum(max(files.sizes.get(name, 0), 0) for name in names),
        contents=functools.partial(_contents, files, names),
    )


def _contents(files: Folder | Zip | Tar, names: Sequence[str], limit: int) -> Iterator[tuple[int, Content]]:
    return files.read(names, limit)


def _begins(path: Path, signature: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(signature)) == signature
