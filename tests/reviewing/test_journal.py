from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hallmark.contracts.errors import InputError
from hallmark.quality.review import COLUMNS, read_review
from hallmark.reviewing.journal import Decision, Journal

if TYPE_CHECKING:
    from pathlib import Path

A, B = "a" * 64, "b" * 64
HEADER = ",".join(COLUMNS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "review.csv"
    file.write_text(f"{HEADER}\nfirst.png,{A},keep,,by hand,\nsecond.png,{A},drop,,,2025-01-01\n")
    return file


def test_a_decision_is_written_at_once_and_undo_restores_the_bytes(path: Path) -> None:
    before = path.read_bytes()
    journal = Journal(path)
    journal.record(Decision(path="new.png", content_hash=B, decision="relabel", label="cat", note='a "note", two'))
    journal.record(Decision(path="first.png", content_hash=B, decision="drop"))
    table = read_review(path).set_index("path")
    new = dict(table.loc["new.png"])
    assert (new["content_hash"], new["decision"], new["label"], new["note"]) == (B, "relabel", "cat", 'a "note", two')
    assert table.loc["first.png", "decision"] == "drop"
    assert new["when"].endswith("Z")
    assert table.loc["second.png", "when"] == "2025-01-01"
    assert [journal.undo(), journal.undo(), journal.undo()] == ["first.png", "new.png", None]
    assert path.read_bytes() == before


def test_undo_restores_a_withdrawn_decision(path: Path) -> None:
    before = path.read_bytes()
    journal = Journal(path)
    assert journal.withdraw("first.png")
    assert not journal.withdraw("no.png")
    assert read_review(path)["path"].tolist() == ["second.png"]
    assert journal.undoable == 1
    journal.undo()
    assert path.read_bytes() == before


def test_edits_by_hand_in_between_are_kept(path: Path) -> None:
    journal = Journal(path)
    journal.record(Decision(path="new.png", content_hash=B, decision="drop"))
    path.write_text(path.read_text() + f"third.png,{A},keep,,,\n")
    journal.record(Decision(path="newer.png", content_hash=B, decision="drop"))
    assert list(journal.in_force()) == ["first.png", "second.png", "new.png", "third.png", "newer.png"]
    journal.undo()
    journal.undo()
    assert list(journal.in_force()) == ["first.png", "second.png", "third.png"]


def test_several_rows_of_a_path_become_one(path: Path) -> None:
    path.write_text(path.read_text() + f"first.png,{B},drop,,,\n")
    journal = Journal(path)
    assert journal.in_force()["first.png"].decision == "drop"
    journal.record(Decision(path="first.png", content_hash=A, decision="keep"))
    assert [line.split(",")[0] for line in path.read_text().splitlines()[1:]] == ["second.png", "first.png"]
    journal.undo()
    assert journal.in_force()["first.png"].decision == "drop"


@pytest.mark.parametrize(
    "name", ["a,b.png", 'quo"te.png', "line\nbreak.png", "cr\rname.png", "unit\u2028sep.png", "\x1c.png"]
)
def test_any_name_survives(path: Path, name: str) -> None:
    journal = Journal(path)
    journal.record(Decision(path=name, content_hash=A, decision="keep"))
    assert read_review(path)["path"].tolist().count(name) == 1
    assert journal.in_force()[name].decision == "keep"


def test_an_invalid_file_is_reported_and_unchanged(path: Path) -> None:
    journal = Journal(path)
    path.write_text(f"{HEADER}\nx.png,{A},perhaps,,,\n")
    with pytest.raises(InputError, match="line 2: decision 'perhaps'"):
        journal.record(Decision(path="new.png", content_hash=A, decision="keep"))
    assert "perhaps" in path.read_text()
    assert journal.undoable == 0
