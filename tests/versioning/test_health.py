"""Torn files are found, recovered where that is safe, and reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hallmark.contracts.errors import InputError
from hallmark.versioning.health import recover
from hallmark.versioning.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Clone


def test_a_torn_lock_file_comes_back_from_the_last_commit(clone: Callable[..., Clone]) -> None:
    made = clone("torn")
    lock = made.root / "dvc.lock"
    whole = "schema: '2.0'\nstages: {}\n"
    lock.write_text(whole)
    made.git("add", "dvc.lock")
    made.git("commit", "--quiet", "--message=lock")
    lock.write_text("schema: '2.0'\nstages:\n  ingest: {cmd: [")
    finding = recover(made.root)[0]
    assert not finding.healthy
    assert "last commit" in finding.recovered
    assert lock.read_text() == whole
    assert (made.root / "dvc.lock.torn").exists()
    assert recover(made.root)[0].healthy


def test_a_torn_rwlock_is_removed(clone: Callable[..., Clone]) -> None:
    made = clone("torn")
    rwlock = made.root / ".dvc" / "tmp" / "rwlock"
    rwlock.parent.mkdir(parents=True)
    rwlock.write_text('{"write": {"')
    assert "removed" in recover(made.root)[1].recovered
    assert not rwlock.exists()


def test_unfinished_outputs_are_removed(clone: Callable[..., Clone]) -> None:
    made = clone("killed")
    (made.root / "data" / ".partial-train").mkdir()
    (made.root / "data" / ".partial-train" / "half").write_text("half")
    assert "data/.partial-train" in recover(made.root)[2].detail
    assert not (made.root / "data" / ".partial-train").exists()


def test_a_workspace_needs_git(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not in a Git repository"):
        Workspace(tmp_path)
