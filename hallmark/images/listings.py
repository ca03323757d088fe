"""Tables of labels beside the images, as in Hugging Face's imagefolder and Kaggle's competitions.

A table is a .csv, .jsonl or .parquet file named ``metadata``, ``labels``, ``annotations``, ``manifest`` or after its
split (``train.csv``). Each row names a file (``file_name``, ``path``, ``image_id`` ...) relative to the folder of the
table or of its split, with or without suffix, and its label. The tables take precedence over the folders: an image
that no table names has no label. The split of an image is that of its row, else of its folder, else of its table.
"""

from __future__ import annotations

import dataclasses
import json
import posixpath
from collections import Counter
from typing import TYPE_CHECKING, Any

from hallmark.contracts.errors import InputError
from hallmark.images import labels, layouts, manifests, splits
from hallmark.images.entries import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import BinaryIO

    from hallmark.images.entries import Value

FILES = (
    *("file_name", "filename", "file", "path", "filepath", "file_path", "image_path", "image_file", "image_name"),
    *("image", "img", "image_id", "imageid", "id", "name"),
)
LABELS = ("label", "labels", "class", "classes", "class_name", "label_name", "category", "target")
_NAMED = {"metadata", "meta", "label", "labels", "annotation", "annotations", "manifest"}
_KINDS = (".csv", ".jsonl", ".parquet", ".pq")
_OPTIONAL = ("group", "split")


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Table:
    """A table that may hold labels; ``file`` and ``label`` are the names of the columns of paths and labels."""

    name: str
    split: str | None
    columns: list[str]
    file: str
    label: str
    rows: list[dict[str, Value]]


def listed(names: Sequence[str], open_file: Callable[[str], BinaryIO]) -> list[Entry] | None:
    """The files of a source with their labels from tables, sorted by path; None if no table labels them.

    ``names`` are the paths of all files of the source, and ``open_file`` opens one. Raises InputError for a table that
    names these images and has faults.
    """
    parts = [name.split("/") for name in names]
    images = [file for file in parts if not layouts.is_stray(file) and not layouts.is_document(file[-1])]
    if not images:
        return None
    depth = layouts.base_depth(images)
    base = images[0][:depth]
    common = [part for part in posixpath.commonpath(["/" + "/".join(file[:-1]) for file in images]).split("/") if part]
    by_top = splits.split_of_each({file[depth] for file in images if len(file) > depth + 1})
    paths = {"/".join(file): by_top.get(file[depth]) if len(file) > depth + 1 else None for file in images}
    rows: dict[str, Entry] = {}
    for name in sorted(names):
        if not _beside(name, common, base, by_top):
            continue
        table = _read(name, open_file)
        matched = _matched(table, paths, base, by_top) if table is not None else {}
        if not matched:
            continue
        assert table is not None
        twice = sorted(set(matched) & set(rows))
        if twice:
            raise InputError(
                f"{name} and another table both give a label to '{twice[0]}'",
                remedy="keep one table of labels for each folder",
                field="source",
            )
        labels.refuse_lists(Counter(row.label for row in matched.values() if row.label is not None), name)
        rows |= matched
    if not rows:
        return None
    _refuse_folders(paths, rows, base)
    return [rows.get(path) or _unlisted(path, paths) for path in sorted({*names, *rows})]


def _beside(name: str, common: Sequence[str], base: Sequence[str], by_top: dict[str, str]) -> bool:
    """Whether a file's folder may hold a table of labels: it contains all images, or is the folder of a split."""
    parts = name.split("/")
    folder = parts[:-1]
    if posixpath.splitext(name)[1].casefold() not in _KINDS or layouts.is_stray(parts):
        return False
    return folder == list(common[: len(folder)]) or (
        len(folder) == len(base) + 1 and folder[:-1] == list(base) and folder[-1] in by_top
    )


def _read(name: str, open_file: Callable[[str], BinaryIO]) -> _Table | None:
    """The table of a file; None if its name is not that of a table of labels, or it has no such columns."""
    _, suffix = posixpath.splitext(posixpath.basename(name.casefold()))
    split, words = splits.parse(posixpath.splitext(posixpath.basename(name))[0])
    named = words <= _NAMED and bool(split or words)
    rows: list[dict[str, Value]]
    if not named and suffix != ".csv":
        return None
    with open_file(name) as file:
        if suffix == ".csv":
            header = manifests.csv_header(file)
            # a manifest may have any name
            if not (named and _one_of(FILES, header)) and not set(manifests.NEEDED) <= set(header):
                return None
            file.seek(0)
            with manifests.csv_table(file, name) as (columns, cells):
                manifests.check_twice(columns, name)
                rows = list(cells)
        elif suffix == ".jsonl":
            rows = list(_json_rows(file, name))
            columns = list(dict.fromkeys(key for row in rows for key in row))
        else:
            from hallmark.images.parquets import Table

            table = Table(file, name)
            if table.image is not None:
                return None
            columns = table.columns
            label = _one_of(LABELS, columns)
            if label is None:
                return None
            table.check_label(label)
            rows = list(table.rows(label))
    files, label = _one_of(FILES, columns), _one_of(LABELS, columns)
    # in a file named labels or train the other of two columns is the label (id,breed); metadata.csv may hold captions
    if files is not None and label is None and len(columns) == 2 and (split or words & {"label", "labels"}):
        label = next(column for column in columns if column != files)
    if files is None or label is None:
        return None
    return _Table(name=name, split=split, columns=columns, file=files, label=label, rows=rows)


def _json_rows(file: BinaryIO, name: str) -> Iterator[dict[str, Value]]:
    """The objects of a JSON Lines file. Raises InputError for invalid lines and for a list as a label."""
    with file:
        for number, line in enumerate(file, start=1):
            location = f"{name}, line {number},"
            try:
                row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8")) if line.strip() else None
            except (ValueError, RecursionError) as error:
                reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
                raise InputError(
                    f"{location} is not JSON in UTF-8: {reason}",
                    remedy="write one JSON object per line",
                    field="source",
                ) from error
            if line.strip():
                yield _json_row(row, location)


def _json_row(row: Any, location: str) -> dict[str, Value]:
    if not isinstance(row, dict):
        raise InputError(f"{location} is not a JSON object", remedy="write one object per line", field="source")
    for key, value in row.items():
        if isinstance(value, list) and key.casefold() in LABELS:
            raise labels.multi_label(location, str(value), 1)
    return {labels.trimmed(key): manifests.plain(value) for key, value in row.items()}


def _one_of(wanted: Sequence[str], columns: Sequence[str]) -> str | None:
    """The first column, in the order of ``wanted``, whose name matches regardless of case; None without a match."""
    by_name = {column.casefold().replace(" ", "_").replace("-", "_"): column for column in reversed(columns)}
    return next((by_name[name] for name in wanted if name in by_name), None)


def _matched(
    table: _Table, paths: dict[str, str | None], base: Sequence[str], by_top: dict[str, str]
) -> dict[str, Entry]:
    """Image path -> entry of its row; empty if most rows name no image. Raises InputError for faulty rows."""
    folder = posixpath.dirname(table.name)
    prefix = f"{folder}/" if folder else ""
    inside = [path for path in paths if path.startswith(prefix)]
    if table.split is not None and any(paths[path] == table.split for path in inside):
        inside = [path for path in inside if paths[path] == table.split]
    index = _Index(inside, [prefix, *("/".join([*base, top]) + "/" for top in by_top)])
    own = {table.file: "path", table.label: "label"} | {
        column: column.casefold() for column in table.columns if column.casefold() in _OPTIONAL
    }
    entries: dict[str, Entry] = {}
    first: dict[str, int] = {}
    faults: list[str] = []
    remedies: list[str] = []
    matched = 0
    for number, cells in enumerate(table.rows, start=1):
        row = {own.get(column, column): value for column, value in cells.items()}
        try:
            path = manifests.path_of(row["path"])
            image = index.of(path)
            if image is None:
                # a file that is missing gets a row in the ledger, as in a manifest
                image = posixpath.normpath(prefix + path)
            else:
                matched += 1
            if image in entries:
                raise _twice(table.name, path, entries[image], row["label"], number, first[image])
            described = manifests.describe(row, image)
        except manifests.Fault as fault:
            faults.append(f"row {number}: {fault}")
            remedies.append(fault.remedy)
            continue
        split = described.given_split or paths.get(image) or table.split
        entries[image], first[image] = dataclasses.replace(described, given_split=split), number
    # the table holds something else, such as the names of the classes
    if 2 * matched < len(table.rows):
        return {}
    if faults:
        raise manifests.refusal(table.name, faults, remedies)
    return entries


def _twice(name: str, path: str, before: Entry, label: Value, number: int, first: int) -> Exception:
    if manifests.as_text(label) != manifests.as_text(before.label):
        return InputError(
            f"{name} is multi-label: rows {first} and {number} give '{path}' the labels '{before.label}' and '{label}'",
            remedy=labels.ONE,
            field="source",
        )
    return manifests.Fault(f"path '{path}' was given in row {first} already", remedy="give each path in one row")


class _Index:
    """Finds images by their path, or by their file name or stem if that is unique."""

    def __init__(self, paths: Sequence[str], prefixes: Sequence[str]) -> None:
        self._prefixes = prefixes
        self._paths = set(paths)
        self._names = _unique((posixpath.basename(path), path) for path in paths)
        self._stems = _unique((posixpath.splitext(posixpath.basename(path))[0], path) for path in paths)

    def of(self, name: str) -> str | None:
        for prefix in self._prefixes:
            if (path := posixpath.normpath(prefix + name)) in self._paths:
                return path
        return self._names.get(posixpath.basename(name)) or self._stems.get(posixpath.basename(name))


def _unique(pairs: Any) -> dict[str, str]:
    by_key: dict[str, str | None] = {}
    for key, path in pairs:
        by_key[key] = None if key in by_key else path
    return {key: path for key, path in by_key.items() if path is not None}


def _refuse_folders(paths: dict[str, str | None], rows: dict[str, Entry], base: Sequence[str]) -> None:
    """Raises InputError if no table names an image of a split folder and that folder seems to hold class folders."""
    folders: dict[str, set[str]] = {}
    for path, split in paths.items():
        if split is not None:
            top, *below = path.split("/")[len(base) :]
            folders.setdefault(top, set()).update(below[:1] if len(below) > 1 else [])
    listed = {path.split("/")[len(base)] for path in rows if path in paths}
    for top in sorted(folders):
        if top not in listed and len(folders[top]) > 1:
            raise InputError(
                f"tables label the images of {', '.join(sorted(listed))}, but no table labels those of '{top}', "
                f"which holds the folders {', '.join(sorted(folders[top])[:5])}",
                remedy=f"put a table of labels into '{top}' too, or remove the tables",
                field="source",
            )


def _unlisted(path: str, paths: dict[str, str | None]) -> Entry:
    if path not in paths:
        return Entry(path=path, label=None, reasons=("stray_file",))
    return Entry(path=path, label=None, given_split=paths[path], reasons=("unlabelled",))
