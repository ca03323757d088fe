"""Manifests: a CSV or Parquet table ``path,label[,group][,split][,any metadata]``, one row per image.

Paths are relative to the manifest. An empty label leaves an image unlabelled; empty cells elsewhere are missing. What a
manifest gets wrong is told with the line, the columns found and the columns needed.
"""

from __future__ import annotations

import csv
import io
import math
import posixpath
from typing import TYPE_CHECKING, Any, BinaryIO

from hallmark.contracts.errors import InputError
from hallmark.images.found import SPLIT_NAMES, Found

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from hallmark.images.found import Value

NEEDED = ("path", "label")
_OWN = (*NEEDED, "group", "split")
_SHAPE = "a manifest has the columns path,label[,group][,split] and any metadata"


def read_csv(file: BinaryIO, name: str) -> list[Found]:
    """The rows of a CSV manifest, sorted by path. Raises InputError."""
    with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        reader = csv.reader(text, strict=True)
        try:
            header = [column.strip() for column in next(reader, [])]
            check_columns(header, name)
            return found_of(_csv_rows(reader, header, name), name, lambda number: f"row {number}")
        except UnicodeDecodeError as error:
            raise InputError(f"ingest.source: {name} is not UTF-8 text", remedy="save it as CSV in UTF-8") from error
        except csv.Error as error:
            raise InputError(
                f"ingest.source: {name}, line {reader.line_num}: {error}", remedy="mend the line, or quote its cells"
            ) from error


def csv_header(file: BinaryIO) -> list[str]:
    """The column names of a CSV file; empty where it is none."""
    first = file.readline(2**16)
    try:
        return [column.strip() for column in next(csv.reader([first.decode("utf-8-sig")]), [])]
    except (UnicodeDecodeError, csv.Error):
        return []


def check_columns(columns: Sequence[str], name: str) -> None:
    """Raises InputError where a needed column is missing or one is given twice."""
    missing = [column for column in NEEDED if column not in columns]
    if missing:
        near = [column for column in columns if column.casefold() in missing]
        separated = len(columns) == 1 and any(mark in columns[0] for mark in ";\t|")
        if separated:
            hint = "separate the columns by commas"
        elif near:
            hint = f"write '{near[0]}' as '{near[0].casefold()}'"
        else:
            hint = _SHAPE
        raise InputError(
            f"ingest.source: {name} has the columns {', '.join(columns) or '(none)'} but needs {', '.join(NEEDED)};"
            f" missing: {', '.join(missing)}",
            remedy=hint,
        )
    twice = sorted({column for column in columns if column and columns.count(column) > 1})
    if twice:
        raise InputError(f"ingest.source: {name} has the column '{twice[0]}' twice", remedy="rename one of them")


def found_of(rows: Iterable[Mapping[str, Value]], name: str, spot: Callable[[int], str]) -> list[Found]:
    """Rows of any table with the columns of a manifest, sorted by path; ``spot(number)`` names a row from 1 on.

    Raises InputError that lists the first faults of every kind.
    """
    found: dict[str, Found] = {}
    lines: dict[str, int] = {}
    faults: list[str] = []
    for number, row in enumerate(rows, start=1):
        path = _path(row["path"])
        if not path:
            faults.append(f"{spot(number)}: no path")
            continue
        if path in found:
            faults.append(f"{spot(number)}: path '{path}' was given in {spot(lines[path])} already")
            continue
        try:
            found[path] = describe(row, path)
        except ValueError as error:
            faults.append(f"{spot(number)}: {error}")
            continue
        lines[path] = number
    if faults:
        shown = faults[:5] + ([f"and {len(faults) - 5} more"] if len(faults) > 5 else [])
        raise InputError(f"ingest.source: {name}: " + "; ".join(shown), remedy="mend these rows: each path once")
    if not found:
        raise InputError(f"ingest.source: {name} lists no file", remedy="give a manifest with one row per image")
    return [found[path] for path in sorted(found)]


def describe(row: Mapping[str, Value], path: str) -> Found:
    """What a row says of the image at ``path``. Raises ValueError where its split has no known name."""
    label, split = as_text(row.get("label")), as_text(row.get("split"))
    given = None
    if split is not None:
        given = SPLIT_NAMES.get(split.casefold())
        if given is None:
            raise ValueError(f"split '{split}' is none of train, val, test")
    return Found(
        path=path,
        label=label,
        group=as_text(row.get("group")),
        given_split=given,
        reasons=() if label is not None else ("unlabelled",),
        # a column without a name is the row number that some writers leave in front
        metadata={key: value for key, value in row.items() if key and key not in _OWN},
    )


def as_text(value: Value) -> str | None:
    """A cell as text, None where it is empty; a whole number loses its point."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() or None


def plain(value: Any) -> Value:
    """A cell of a Parquet table as a plain value; what is none of them becomes text."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)


def _csv_rows(reader: Any, header: Sequence[str], name: str) -> Iterator[dict[str, Value]]:
    for cells in reader:
        if not cells:  # a blank line
            continue
        if len(cells) != len(header):
            raise InputError(
                f"ingest.source: {name}, line {reader.line_num}: {len(cells)} cells, the header has {len(header)}",
                remedy="quote cells that hold a comma",
            )
        yield {column: cell.strip() or None for column, cell in zip(header, cells, strict=True)}


def _path(value: Value) -> str:
    """A path as the ledger has it."""
    text = as_text(value)
    return posixpath.normpath(text) if text else ""
