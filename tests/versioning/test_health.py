"""Corrupt files are detected, recovered if safe, and reported."""

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


def test_a_corrupt_lock_file_is_restored_from_the_last_commit(clone: Callable[..., Clone]) -> None:
    repo = clone("torn")
    lock = repo.root / "dvc.lock"
    whole = "schema: '2.0'\nstages: {}\n"
    lock.write_text(whole)
    repo.git("add", "dvc.lock")
    repo.git("commit", "--quiet", "--message=lock")
    lock.write_text("schema: '2.0'\nstages:\n  ingest: {cmd: [")
    finding = recover(repo.root)[0]
    assert not finding.healthy
    assert "last commit" in finding.recovered
    assert lock.read_text() == whole
    assert (repo.root / "dvc.lock.torn").exists()
    assert recover(repo.root)[0].healthy


def test_a_corrupt_rwlock_is_removed(clone: Callable[..., Clone]) -> None:
    repo = clone("torn")
    rwlock = repo.root / ".dvc" / "tmp" / "rwlock"
    rwlock.parent.mkdir(parents=True)
    rwlock.write_text('{"write": {"')
    assert "removed" in recover(repo.root)[1].recovered
    assert not rwlock.exists()


def test_unfinished_outputs_are_removed(clone: Callable[..., Clone]) -> None:
    repo = clone("killed")
    (repo.root / "data" / ".partial-train").mkdir()
    (repo.root / "data" / ".partial-train" / "half").write_text("half")
    assert "data/.partial-train" in recover(repo.root)[2].detail
    assert not (repo.root / "data" / ".partial-train").exists()


def test_a_workspace_needs_git(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not in a Git repository"):
        Workspace(tmp_path)
