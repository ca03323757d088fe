"""Which digest file a stage last ran on is found, wherever it still is."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from hallmark.pipeline.dvcfile import digest_file
from hallmark.versioning.recorded import recorded_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Clone

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # pygtrie's, from inside DVC
DEMO = digest_file("demo")


def explained(made: Clone) -> str:
    done = made.call("-m", "tasks", "dvcfile", "--explain", "demo")
    assert done.returncode == 0, done.stderr
    return done.stdout


def edit(made: Clone, name: str) -> None:
    path = made.root / name
    path.write_text(path.read_text() + "# edited\n")


def test_a_changed_file_is_named_before_and_after_the_digest_is_refreshed(clone: Callable[..., Clone]) -> None:
    made = clone("workspace")
    assert "dvc.lock has no digest of demo's code" in explained(made)
    first = made.dvc("repro", "demo")
    assert first.returncode == 0, first.stderr
    assert "None changed since dvc.lock." in explained(made)

    edit(made, "hallmark/contracts/seeds.py")
    edit(made, "hallmark/serving/server.py")
    for command in ([], ["repro", "code"]):
        if command:
            assert made.dvc(*command).returncode == 0
        text = explained(made)
        assert "Changed since dvc.lock: 1 edited, 0 added, 0 removed." in text
        assert [line.split()[1] for line in text.splitlines() if line.startswith("  edited")] == [
            "hallmark/contracts/seeds.py"
        ]

    # plain `dvc repro` sees the edit by itself, and the other one changes nothing
    assert "demo" in made.dvc("status", "--json").stdout
    again = made.dvc("repro", "demo")
    assert "Running stage 'demo'" in again.stdout, again.stdout
    edit(made, "hallmark/serving/server.py")
    other = made.dvc("repro", "demo")
    assert "Running stage 'code'" in other.stdout
    assert "Stage 'demo' didn't change" in other.stdout

    shutil.rmtree(made.root / ".dvc" / "cache")
    shutil.rmtree(made.root / "data" / "code")
    assert "is not in DVC's cache" in explained(made)


def test_a_lock_of_an_earlier_version_has_no_digest(tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text("schema: '2.0'\nstages:\n  demo:\n    cmd: x\n")
    text, why = recorded_text(tmp_path, "demo", DEMO)
    assert text is None
    assert "no digest" in why
