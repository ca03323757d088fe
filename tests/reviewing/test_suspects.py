from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from hallmark.contracts.errors import InputError
from hallmark.quality import set_summary
from hallmark.reviewing import suspects
from hallmark.reviewing.journal import Decision

if TYPE_CHECKING:
    from pathlib import Path


def decided(path: str, content_hash: str) -> dict[str, Decision]:
    return {path: Decision(path=path, content_hash=content_hash, decision="drop")}


def test_the_worst_come_first_without_undecidable_files(workspace: Path) -> None:
    findings = suspects.load(workspace, {})
    assert [(one.kind, one.path) for one in findings.suspects] == [
        ("conflict", "a/conflict.png"),
        ("conflict", "b/conflict.png"),
        ("label", "a/wrong.png"),
        ("label", "a/doubtful.png"),
        ("outlier", "a/strange.png"),
        ("quarantined", "a/blank.png"),
        ("flag", "a/dark.png"),
        ("copy", "a/copy.png"),
    ]
    assert findings.classes == ("cat", "dog & co")
    assert len(findings.files) == 34
    by_path = {one.path: one for one in findings.suspects}
    assert by_path["a/wrong.png"].suggested_label == "dog & co"
    assert by_path["a/strange.png"].suggested_label == ""
    assert by_path["a/conflict.png"].copies == ("b/conflict.png",)
    assert by_path["a/copy.png"].copies == ("a/00.png",)
    assert by_path["a/blank.png"].size == (9, 9)


def test_earlier_decisions_are_listed_and_stale_ones_come_first(workspace: Path) -> None:
    sha = suspects.load(workspace, {}).files["sha256"]
    still = decided("a/05.png", sha["a/05.png"])
    stale = decided("a/06.png", "0" * 64)
    gone = decided("b/gone.png", "0" * 64)
    findings = suspects.load(workspace, still | stale | gone)
    assert (findings.suspects[0].kind, findings.suspects[0].path) == ("stale", "a/06.png")
    assert (findings.suspects[-1].kind, findings.suspects[-1].path) == ("decided", "a/05.png")
    assert findings.gone == ("b/gone.png",)


def test_a_workspace_without_runs_is_refused(workspace: Path) -> None:
    shutil.rmtree(workspace / "data" / "clean")
    with pytest.raises(InputError, match=r"nothing to review yet: no output of clean .*run `hallmark run` first"):
        suspects.load(workspace, {})


def test_the_quarantined_files_of_a_refused_set_can_be_reviewed(workspace: Path) -> None:
    data = workspace / "data"
    manifest = pd.read_parquet(data / "ingest" / "manifest.parquet")
    measured = pd.read_parquet(data / "validate" / "measurements.parquet")
    book = set_summary.ledger(measured.merge(manifest[["path", "label", "group", "given_split"]], on="path"))
    for name in ("validate", "split", "clean"):
        shutil.rmtree(data / name)
    folder = workspace / ".hallmark" / "refusals" / "validate"
    folder.mkdir(parents=True)
    book.to_csv(folder / "ledger.csv", index=False)
    findings = suspects.load(workspace, {})
    assert findings.refused
    assert [(one.kind, one.path) for one in findings.suspects] == [
        ("quarantined", "a/blank.png"),
        ("flag", "a/dark.png"),
    ]
    assert findings.classes == ("cat", "dog & co")
