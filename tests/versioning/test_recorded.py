"""The digest file of a stage's last run is read from the workspace or DVC's cache."""

from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING

import pytest
import yaml

from hallmark.pipeline.dvcfile import digest_file
from hallmark.versioning.recorded import recorded_text, with_other_code

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Clone

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # pygtrie's, from inside DVC
DEMO = digest_file("demo")


def explained(repo: Clone) -> str:
    done = repo.call("-m", "tasks", "dvcfile", "--explain", "demo")
    assert done.returncode == 0, done.stderr
    return done.stdout


def edit(repo: Clone, name: str) -> None:
    path = repo.root / name
    path.write_text(path.read_text() + "# edited\n")


def test_a_changed_file_is_named_before_and_after_the_digest_is_refreshed(clone: Callable[..., Clone]) -> None:
    repo = clone("workspace")
    assert "dvc.lock has no digest of demo's code" in explained(repo)
    first = repo.dvc("repro", "demo")
    assert first.returncode == 0, first.stderr
    assert "None changed since dvc.lock." in explained(repo)

    edit(repo, "hallmark/contracts/seeds.py")
    edit(repo, "hallmark/serving/server.py")
    for command in ([], ["repro", "code"]):
        if command:
            assert repo.dvc(*command).returncode == 0
        text = explained(repo)
        assert "Changed since dvc.lock: 1 edited, 0 added, 0 removed." in text
        assert [line.split()[1] for line in text.splitlines() if line.startswith("  edited")] == [
            "hallmark/contracts/seeds.py"
        ]

    # plain `dvc repro` sees the edit by itself, and the other one changes nothing
    assert "demo" in repo.dvc("status", "--json").stdout
    again = repo.dvc("repro", "demo")
    assert "Running stage 'demo'" in again.stdout, again.stdout
    edit(repo, "hallmark/serving/server.py")
    other = repo.dvc("repro", "demo")
    assert "Running stage 'code'" in other.stdout
    assert "Stage 'demo' didn't change" in other.stdout

    shutil.rmtree(repo.root / ".dvc" / "cache")
    shutil.rmtree(repo.root / "data" / "code")
    assert "is not in DVC's cache" in explained(repo)


def test_a_lock_of_an_earlier_version_has_no_digest(tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text("schema: '2.0'\nstages:\n  demo:\n    cmd: x\n")
    text, why = recorded_text(tmp_path, "demo", DEMO)
    assert text is None
    assert "no digest" in why


def test_stages_whose_code_changed_since_they_ran_are_named(tmp_path: Path) -> None:
    assert with_other_code(tmp_path, {"demo": "new", "train": "new"}) == []
    md5 = hashlib.md5(b"old", usedforsecurity=False).hexdigest()
    entry = {"deps": [{"path": "data/ingest", "md5": "0"}, {"path": DEMO.as_posix(), "md5": md5}]}
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"stages": {"demo": entry, "split": {"deps": []}}}))
    assert with_other_code(tmp_path, {"demo": "old", "split": "new", "train": "new"}) == []
    assert with_other_code(tmp_path, {"demo": "new", "split": "new", "train": "new"}) == ["demo"]
