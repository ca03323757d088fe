from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pytest

from hallmark.contracts.errors import InputError
from hallmark.quality.review import COLUMNS, match, read_review

if TYPE_CHECKING:
    from pathlib import Path

A, B = "a" * 64, "b" * 64
HEADER = ",".join(COLUMNS)


def write(folder: Path, *lines: str) -> Path:
    path = folder / "review.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    return path


def test_a_header_alone_is_no_decisions(tmp_path: Path) -> None:
    review = read_review(write(tmp_path))
    assert list(review.columns) == list(COLUMNS)
    assert len(review) == 0


def test_the_last_decision_of_a_path_wins(tmp_path: Path) -> None:
    review = read_review(
        write(tmp_path, f"b.png,{A},drop,,,", f"a.png,{A},keep,,,", f'b.png,{B},relabel,cat,"a, note",2026-01-01')
    )
    assert review["path"].tolist() == ["a.png", "b.png"]
    assert review.iloc[1].tolist() == ["b.png", B, "relabel", "cat", "a, note", "2026-01-01"]


def test_all_faults_are_reported_with_their_lines(tmp_path: Path) -> None:
    path = write(
        tmp_path, f"a.png,{A},keep,,,", "b.png,xyz,drop,,,", f"c.png,{A},maybe,,,", f"d.png,{A},relabel,,,", "e"
    )
    with pytest.raises(InputError, match=r"4 faults.*line 3: content_hash 'xyz'.*line 4: decision 'maybe'") as message:
        read_review(path)
    assert "line 5: relabel without a label" in str(message.value)
    assert "line 6: 1 fields instead of 6" in str(message.value)


def test_a_keep_with_a_label_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 2: keep with a label 'cat'"):
        read_review(write(tmp_path, f"a.png,{A},keep,cat,,"))


def test_other_columns_and_missing_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    with pytest.raises(InputError, match="no review file"):
        read_review(path)
    path.write_text("path,decision\n")
    with pytest.raises(InputError, match="line 1: the columns are 'path,decision'"):
        read_review(path)


def test_stale_decisions_are_set_apart(tmp_path: Path) -> None:
    review = read_review(write(tmp_path, f"a.png,{A},keep,,,", f"b.png,{A},drop,,,", f"c.png,{A},drop,,,"))
    manifest = pd.DataFrame({"path": ["a.png", "b.png"], "sha256": [A, B]}, dtype="string")
    applied, stale = match(review, manifest)
    assert applied["path"].tolist() == ["a.png"]
    assert dict(zip(stale["path"], stale["why"], strict=True)) == {"b.png": "content_changed", "c.png": "path_gone"}


def test_a_line_break_within_a_note_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    path.write_bytes(f'{HEADER}\r\na.png,{A},keep,,"one\r\ntwo",\r\n'.encode())
    assert read_review(path).iloc[0]["note"] == "one\r\ntwo"
