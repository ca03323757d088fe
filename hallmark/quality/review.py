"""Review decisions about single images: data/review.csv, kept in git beside the code.

A row is ``keep``, ``drop`` or ``relabel`` for one path and content: ``content_hash`` is the SHA-256 of the file's bytes
at that time. The last row of a path wins. A decision is stale if the bytes at the path have changed: it is reported and
not applied. Reviews override every detector.
"""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, Any

import pandas as pd

from hallmark.contracts.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = ("path", "content_hash", "decision", "label", "note", "when")
DECISIONS = ("keep", "drop", "relabel")

_SHA256 = re.compile(r"[0-9a-f]{64}")


def read_review(path: Path) -> pd.DataFrame:
    """The decisions in force: one row per path, sorted by path, columns :data:`COLUMNS`, all of dtype ``string``.

    Raises InputError as :func:`read_rows` does.
    """
    rows = {fields[0]: fields for fields in read_rows(path)}
    return pd.DataFrame([rows[key] for key in sorted(rows)], columns=list(COLUMNS), dtype="string")


def read_rows(path: Path) -> list[list[str]]:
    """All rows in file order, fields in the order of :data:`COLUMNS`; a path may have several rows.

    Raises InputError if the file is missing, its columns differ, or rows are invalid: all faults at once, with line
    numbers.
    """
    remedy = f"a review file is a CSV with the header {','.join(COLUMNS)}"
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"no review file '{path}'", remedy=remedy) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start})", remedy=remedy) from error
    # not splitlines, which also splits at characters that a file name may contain
    reader = csv.reader(io.StringIO(text, newline=""))
    header = next(reader, [])
    if tuple(header) != COLUMNS:
        raise InputError(f"{path}, line 1: the columns are '{','.join(header)}'", remedy=remedy)
    faults: list[str] = []
    rows: list[list[str]] = []
    for fields in reader:
        if not fields:
            continue
        faults += [f"line {reader.line_num}: {fault}" for fault in _faults(fields)]
        rows.append(fields)
    if faults:
        raise InputError(
            f"{path} has {len(faults)} faults: {'; '.join(faults)}", remedy="correct or remove these lines"
        )
    return rows


def _faults(fields: list[str]) -> list[str]:
    if len(fields) != len(COLUMNS):
        return [f"{len(fields)} fields instead of {len(COLUMNS)}"]
    path, content_hash, decision, label, _, _ = fields
    faults = []
    if not path:
        faults.append("no path")
    if not _SHA256.fullmatch(content_hash):
        faults.append(f"content_hash '{content_hash}' is no SHA-256 in lower-case hexadecimal")
    if decision not in DECISIONS:
        faults.append(f"decision '{decision}' is none of {', '.join(DECISIONS)}")
    if decision == "relabel" and not label:
        faults.append("relabel without a label")
    if decision in ("keep", "drop") and label:
        faults.append(f"{decision} with a label '{label}'")
    return faults


def match(review: pd.DataFrame, manifest: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Splits decisions into those in force and stale ones.

    ``manifest`` has the columns ``path`` and ``sha256``. A decision is stale if its path is not in the manifest or its
    bytes have changed. Both parts keep the columns of :func:`read_review`; the stale ones get a column ``why``:
    ``path_gone`` or ``content_changed``.
    """
    now = review["path"].map(dict(zip(manifest["path"], manifest["sha256"], strict=True)))
    fresh = (now == review["content_hash"]).fillna(False).astype(bool)
    stale = review[~fresh].copy()
    stale["why"] = now[~fresh].isna().map({True: "path_gone", False: "content_changed"}).astype("string")
    return review[fresh].reset_index(drop=True), stale.reset_index(drop=True)


def summary(review: pd.DataFrame, applied: pd.DataFrame, stale: pd.DataFrame, *, usable: pd.Series) -> dict[str, Any]:
    """Counts of all decisions, applied ones by kind, those of images not ``usable`` (paths), and the stale ones.

    ``applied`` and ``stale`` are the results of :func:`match`.
    """
    return {
        "decisions": len(review),
        "applied": {word: int((applied["decision"] == word).sum()) for word in DECISIONS},
        "of_quarantined": int((~applied["path"].isin(usable.to_numpy())).sum()),
        "stale": stale[["path", "decision", "why"]].astype(object).to_dict("records"),
    }
