from __future__ import annotations

from typing import TYPE_CHECKING

from hallmark.reviewing import suspects
from hallmark.reviewing.neighbours import Neighbours

if TYPE_CHECKING:
    from pathlib import Path


def test_the_most_similar_come_first_without_suspects(workspace: Path) -> None:
    findings = suspects.load(workspace, {})
    near = Neighbours(findings.files, workspace / "data" / "ingest", workers=1)
    same = near.nearest("a/copy.png", "cat", count=50)
    assert same[0] == "a/00.png"
    assert set(same) == {f"a/{n:02d}.png" for n in range(12)}
    assert near.nearest("a/03.png", "cat", count=2)[0] != "a/03.png"
    others = near.nearest_of_others("a/copy.png", "cat", count=5)
    assert len(others) == 5
    assert {path[0] for path in others} == {"b"}
    assert near.nearest("a/copy.png", "no such class", count=3) == []


def test_a_class_of_only_suspects_is_represented_by_them(workspace: Path) -> None:
    files = suspects.load(workspace, {}).files
    files.loc[files["label"] == "dog & co", "reasons"] = "blurry"
    near = Neighbours(files, workspace / "data" / "ingest", workers=1)
    assert len(near.nearest("a/wrong.png", "dog & co", count=4)) == 4
