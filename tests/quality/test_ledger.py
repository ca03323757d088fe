from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pytest

from hallmark.contracts.tables import LEDGER
from hallmark.quality import ledger

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = pd.DataFrame(
    [
        ("a/é 1.png", "a", pd.NA, "train", ""),
        ("a/2.png", "a", "g", "val", ""),
        ("a/3.png", "a", pd.NA, "test", ""),
        ("b/4.png", "b", pd.NA, pd.NA, ""),
        ("notes.txt", pd.NA, pd.NA, pd.NA, "stray_file"),
    ],
    columns=["path", "label", "group", "given_split", "reasons"],
).astype("string")
MEASURED = pd.DataFrame(
    {
        "path": MANIFEST["path"],
        "quarantined": [False, False, True, False, True],
        "reasons": ["", "blurry", "truncated", "", "stray_file;not_an_image"],
    }
)
DECISIONS = pd.DataFrame(
    [
        ("a/é 1.png", "train", "kept", "", ""),
        ("a/2.png", "test", "flagged", "validate", "blurry;outlier"),
        ("b/4.png", "train", "removed", "clean", "label_issue"),
    ],
    columns=["path", "split", "fate", "stage", "reasons"],
)


def test_each_file_has_one_row_and_one_fate() -> None:
    book = ledger.build(MANIFEST, MEASURED, DECISIONS)
    assert list(book.columns) == list(LEDGER)
    rows = {row.path: tuple(row)[2:] for row in book.itertuples()}
    assert rows["a/é 1.png"] == ("a", "train", "", "kept", "", "")
    assert rows["a/2.png"] == ("a", "test", "g", "flagged", "validate", "blurry;outlier")
    assert rows["a/3.png"] == ("a", "test", "", "quarantined", "validate", "truncated")
    assert rows["b/4.png"] == ("b", "train", "", "removed", "clean", "label_issue")
    assert rows["notes.txt"] == ("", "", "", "quarantined", "ingest", "not_an_image;stray_file")
    counts = ledger.reconcile(book, found=5)
    assert counts == {"kept": 1, "flagged": 1, "relabelled": 0, "removed": 1, "quarantined": 2}


def test_what_does_not_reconcile_is_our_mistake() -> None:
    with pytest.raises(AssertionError, match="not those of the images left"):
        ledger.build(MANIFEST, MEASURED, DECISIONS.iloc[:2])
    book = ledger.build(MANIFEST, MEASURED, DECISIONS)
    with pytest.raises(AssertionError, match="6 files found"):
        ledger.reconcile(book, found=6)
    with pytest.raises(AssertionError, match="deciding stage"):
        ledger.reconcile(book.assign(stage=""), found=5)


def test_it_is_read_back_as_written(tmp_path: Path) -> None:
    book = ledger.build(MANIFEST, MEASURED, DECISIONS)
    ledger.write(book, tmp_path / "ledger.csv")
    pd.testing.assert_frame_equal(ledger.read(tmp_path / "ledger.csv"), book)
    assert (tmp_path / "ledger.csv").read_bytes().startswith(b"path,label,split,group,fate,stage,reasons\n")


def test_a_file_counts_with_each_of_its_reasons() -> None:
    book = ledger.build(MANIFEST, MEASURED, DECISIONS)
    counts = ledger.fates_by_reason(book)
    assert list(counts) == ["blurry", "label_issue", "not_an_image", "outlier", "stray_file", "truncated"]
    nonzero = {reason: {fate: n for fate, n in fates.items() if n} for reason, fates in counts.items()}
    assert nonzero["blurry"] == nonzero["outlier"] == {"flagged": 1}
    assert nonzero["stray_file"] == nonzero["not_an_image"] == {"quarantined": 1}


def test_a_ledger_without_any_reason_has_no_counts() -> None:
    book = ledger.build(MANIFEST, MEASURED, DECISIONS)
    assert ledger.fates_by_reason(book.assign(reasons="").astype("string")) == {}
