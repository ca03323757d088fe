"""Manifests: a CSV or Parquet table ``path,label[,group][,split][,any metadata]``, one row per image.

Paths are relative to the manifest. An empty label leaves an image unlabelled; empty cells elsewhere are missing.
Faults are reported with their row, value and remedy.
"""

from __future__ import annotations

import contextlib
import csv
import io
import math
import posixpath
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, BinaryIO

from hallmark.contracts.errors import InputError
from hallmark.images import labels, splits
from hallmark.images.entries import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from hallmark.images.entries import Value

NEEDED = ("path", "label")
_OWN = (*NEEDED, "group", "split")
_SHAPE = "a manifest has the columns path,label[,group][,split] and any metadata"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://|data:[^,]*,")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]|\\\\[^\\]+\\")  # C:\ and \\server\share


class Fault(ValueError):
    """What is wrong with one row, and the remedy."""

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def read_csv(file: BinaryIO, name: str) -> list[Entry]:
    """The rows of a CSV manifest, sorted by path. Raises InputError."""
    with csv_table(file, name) as (header, rows):
        check_columns(header, name)
        return entries_of(rows, name, lambda number: f"row {number}")


@contextlib.contextmanager
def csv_table(file: BinaryIO, name: str) -> Iterator[tuple[list[str], Iterator[dict[str, Value]]]]:
    """The header of a CSV file, and its rows as they are asked for. Both raise InputError. Closes the file."""
    with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        reader = csv.reader(text, strict=True)
        header = [labels.trimmed(column) for column in _next_row(reader, name, first=True)]
        yield header, _csv_rows(reader, header, name)


def csv_header(file: BinaryIO) -> list[str]:
    """The column names of a CSV file; empty where it is none."""
    first = file.readline(2**16)
    try:
        return [labels.trimmed(column) for column in next(csv.reader([first.decode("utf-8-sig")]), [])]
    except (UnicodeDecodeError, csv.Error):
        return []


def check_columns(columns: Sequence[str], name: str) -> None:
    """Raises InputError where a needed column is missing, one is given twice, or one of ours is in another case."""
    missing = [column for column in NEEDED if column not in columns]
    near = {column.casefold(): column for column in columns if column.casefold() in _OWN and column not in _OWN}
    if missing:
        separated = len(columns) == 1 and any(mark in columns[0] for mark in ";\t|")
        if separated:
            hint = "separate the columns by commas"
        elif near:
            hint = ", ".join(f"write '{column}' as '{right}'" for right, column in near.items())
        else:
            hint = _SHAPE
        raise InputError(
            f"{name} has the columns {', '.join(columns) or '(none)'} but needs {', '.join(NEEDED)};"
            f" missing: {', '.join(missing)}",
            remedy=hint,
            field="source",
        )
    check_twice(columns, name)
    wrong = [(right, column) for right, column in near.items() if right not in columns]
    if wrong:
        raise InputError(
            f"{name} has the column '{wrong[0][1]}'",
            remedy=f"write '{wrong[0][1]}' as '{wrong[0][0]}', or give it another name if it is metadata",
            field="source",
        )


def check_twice(columns: Sequence[str], name: str) -> None:
    """Raises InputError where a column is given twice."""
    twice = sorted(column for column, count in Counter(columns).items() if column and count > 1)
    if twice:
        raise InputError(f"{name} has the column '{twice[0]}' twice", remedy="rename one of them", field="source")


def entries_of(rows: Iterable[Mapping[str, Value]], name: str, spot: Callable[[int], str]) -> list[Entry]:
    """Rows of any table with the columns of a manifest, sorted by path; ``spot(number)`` names a row from 1 on.

    Raises InputError that lists the first faults, and for labels that are lists.
    """
    entries: dict[str, Entry] = {}
    lines: dict[str, int] = {}
    faults: list[str] = []
    remedies: list[str] = []
    for number, row in enumerate(rows, start=1):
        try:
            path = path_of(row["path"])
            if path in entries:
                raise Fault(
                    f"path '{path}' was given in {spot(lines[path])} already", remedy="give each path in one row"
                )
            entries[path] = describe(row, path)
        except Fault as fault:
            faults.append(f"{spot(number)}: {fault}")
            remedies.append(fault.remedy)
            continue
        lines[path] = number
    if faults:
        raise refusal(name, faults, remedies)
    if not entries:
        raise InputError(f"{name} lists no file", remedy="give a manifest with one row per image", field="source")
    labels.refuse_lists(Counter(row.label for row in entries.values() if row.label is not None), name)
    return [entries[path] for path in sorted(entries)]


def describe(row: Mapping[str, Value], path: str) -> Entry:
    """What a row says of the image at ``path``. Raises Fault where its split has no known name."""
    label, split = _label(row.get("label")), as_text(row.get("split"))
    given = None
    if split is not None:
        given = splits.split_of(split)
        if given is None:
            raise Fault(
                f"split '{split}' is none of train, val, test",
                remedy=f"write {splits.ALLOWED} in the column 'split', or leave the cell empty",
            )
    return Entry(
        path=path,
        label=label,
        group=as_text(row.get("group")),
        given_split=given,
        reasons=() if label is not None else ("unlabelled",),
        # a column without a name is the row number that some writers leave in front
        metadata={
            key: value.strip() or None if isinstance(value, str) else value
            for key, value in row.items()
            if key and key not in _OWN
        },
    )


def path_of(value: Value) -> str:
    """A path as the ledger has it. Raises Fault for what is none, or one of another machine."""
    # in the form of the file system, not in NFC
    text = labels.bare(_label(value) or "")
    if not text:
        raise Fault("no path", remedy="give each row a path")
    if _URL.match(text):
        shown = text if len(text) <= 80 else f"{text[:77]}..."
        raise Fault(
            f"path '{shown}' is a URL",
            remedy="download the images first and give their paths, relative to the manifest",
        )
    if _DRIVE.match(text):
        raise Fault(
            f"path '{text}' is one of a Windows drive",
            remedy="give paths relative to the manifest, such as images/1.png",
        )
    return posixpath.normpath(text)


def as_text(value: Value) -> str | None:
    """A cell as text, None where it is empty; a whole number loses its point."""
    text = _label(value)
    return labels.trimmed(text) or None if text is not None else None


def plain(value: Any) -> Value:
    """A cell of a Parquet table as a plain value; what is none of them becomes text."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)


def _label(value: Value) -> str | None:
    """A label as it was found, None where there is nothing to see."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value)
    return text if labels.trimmed(text) else None


def refusal(name: str, faults: Sequence[str], remedies: Sequence[str]) -> InputError:
    """The refusal of a table with faulty rows: the first of them, and each remedy once."""
    shown = [*faults[:5], *([f"and {len(faults) - 5} more"] if len(faults) > 5 else [])]
    return InputError(f"{name}: " + "; ".join(shown), remedy=remedies, field="source")


def _csv_rows(reader: Any, header: Sequence[str], name: str) -> Iterator[dict[str, Value]]:
    while (cells := _next_row(reader, name)) is not None:
        if not cells:  # a blank line
            continue
        if len(cells) != len(header):
            raise InputError(
                f"{name}, line {reader.line_num}: {len(cells)} cells, the header has {len(header)}",
                remedy="quote cells that hold a comma",
                field="source",
            )
        yield {column: cell or None for column, cell in zip(header, cells, strict=True)}


def _next_row(reader: Any, name: str, *, first: bool = False) -> Any:
    """The next line of a CSV, None at its end (of a header: no cells). Raises InputError where it is none."""
    try:
        return next(reader, [] if first else None)
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8 text", remedy="save it as CSV in UTF-8", field="source") from error
    except csv.Error as error:
        raise InputError(
            f"{name}, line {reader.line_num}: {error}", remedy="correct the line, or quote its cells", field="source"
        ) from error
