"""`dvc repro` restores a stage that ran before on the same inputs, though its report is a plain output in Git."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from hallmark.versioning.run_cache import complete

if TYPE_CHECKING:
    from pathlib import Path

STAGE = """
stages:
  copy:
    cmd: cp x y && cp x z
    deps: [x]
    outs: [y, z: {cache: false}]
"""

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # pygtrie's, from inside DVC


def dvc(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=folder,
        check=True,
        env=environment,
        capture_output=True,
        text=True,
    )
    return done.stdout


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, where ``dvc repro`` has run once."""
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    dvc(tmp_path, "init", "-q")
    (tmp_path / "dvc.yaml").write_text(STAGE)
    (tmp_path / "x").write_text("first")
    dvc(tmp_path, "repro")
    return tmp_path


def back_and_forth(repository: Path) -> str:
    """The output of ``dvc repro`` after an input is changed and changed back."""
    (repository / "x").write_text("second")
    assert "Running stage 'copy'" in dvc(repository, "repro")
    (repository / "x").write_text("first")
    return dvc(repository, "repro")


def test_dvc_alone_omits_such_a_stage(repository: Path) -> None:
    """If this fails, DVC has changed and the module is no longer needed."""
    assert "Running stage 'copy'" in back_and_forth(repository)


def test_an_added_stage_is_restored(repository: Path) -> None:
    assert complete(repository) == ["copy"]
    assert complete(repository) == []
    assert "Stage 'copy' is cached" in back_and_forth(repository)
    assert [(repository / name).read_text() for name in "yz"] == ["first", "first"]


@pytest.mark.parametrize("how", ["edited", "gone"])
def test_a_stage_with_another_report_is_not_added(repository: Path, how: str) -> None:
    (repository / "z").unlink()
    if how == "edited":
        (repository / "z").write_text("by hand")
    assert complete(repository) == []


def test_a_stage_that_never_ran_is_not_added(repository: Path) -> None:
    (repository / "dvc.lock").unlink()
    assert complete(repository) == []
