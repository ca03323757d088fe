"""``hallmark upgrade``: a workspace of another version gets the installed version's settings and stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flows import new_workspace
from flows.upgrade import upgrade
from hallmark.contracts.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Clone


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A workspace whose params.yaml lacks a key and whose dvc.yaml has other stages."""
    root = new_workspace.create(tmp_path / "old")
    params = (root / "params.yaml").read_text()
    line = next(line for line in params.splitlines(keepends=True) if "patience:" in line)
    (root / "params.yaml").write_text(params.replace(line, "").replace("seed: 0", "seed: 5"))
    (root / "dvc.yaml").write_text("stages: {}\n")
    return root


def test_settings_are_added_values_stay_and_stages_are_rendered(old: Path) -> None:
    assert upgrade(old) == ["params.yaml: added train.patience", "dvc.yaml: rendered for this version"]
    fresh = new_workspace.create(old.parent / "fresh")
    assert (old / "params.yaml").read_text().replace("seed: 5", "seed: 0") == (fresh / "params.yaml").read_text()
    assert (old / "dvc.yaml").read_text() == (fresh / "dvc.yaml").read_text()
    assert upgrade(old) == ["params.yaml and dvc.yaml are those of this version"]


def test_a_setting_that_is_gone_is_named_and_nothing_is_written(old: Path) -> None:
    params = (old / "params.yaml").read_text() + "gone: 1\n"
    (old / "params.yaml").write_text(params)
    with pytest.raises(InputError, match=r"params\.yaml, line \d+: unknown key gone"):
        upgrade(old)
    assert (old / "params.yaml").read_text() == params
    assert (old / "dvc.yaml").read_text() == "stages: {}\n"


@pytest.mark.pipeline
def test_either_engine_and_doctor_ask_for_it(clone: Callable[..., Clone]) -> None:
    workspace = clone("other")
    stages = workspace.root / "dvc.yaml"
    stages.write_text(stages.read_text().replace("  clean:\n", "  clean:\n    desc: of another version\n"))
    words = "dvc.yaml is not that of this version of Hallmark"
    repro = workspace.dvc("repro")
    assert repro.returncode != 0
    assert words in repro.stdout + repro.stderr
    run = workspace.hallmark("run")
    assert run.returncode == 2
    assert f"{words}; run `hallmark upgrade`" in run.stderr
    assert words in workspace.hallmark("doctor").stdout
    assert workspace.hallmark("upgrade").stdout == "dvc.yaml: rendered for this version\n"
    assert workspace.dvc("repro", "demo").returncode == 0
