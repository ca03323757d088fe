"""docs/notebook.ipynb runs as it stands, and the outputs in Git are of its cells."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import ROOT, isolated

if TYPE_CHECKING:
    from pathlib import Path

NOTEBOOK = ROOT / "docs" / "notebook.ipynb"


def cells(path: Path) -> list[dict[str, Any]]:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def kinds(cell: dict[str, Any]) -> list[tuple[str, ...]]:
    """The kinds of a cell's outputs: streams by name, results by their formats."""
    return [(each["output_type"], *each.get("data", [each.get("name")])) for each in cell["outputs"]]


def test_the_outputs_in_git_are_executed_ones_without_paths_of_a_machine() -> None:
    saved = cells(NOTEBOOK)
    assert [cell["execution_count"] for cell in saved] == list(range(1, len(saved) + 1))
    assert all(cell["outputs"] for cell in saved[1:])
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert "/home/you/my-project/reports/index.html" in text
    assert "/tmp" not in text
    assert len(text) < 50_000


@pytest.mark.pipeline
def test_every_cell_runs(tmp_path: Path, home: Path, prefect_server: str) -> None:
    executed = tmp_path / "executed.ipynb"
    done = subprocess.run(
        [sys.executable, ROOT / ".ci" / "notebook", executed],
        env=isolated(home) | {"PREFECT_API_URL": prefect_server},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # what another processor computes may differ in the last digits: the kinds of outputs are the same
    for new, saved in zip(cells(executed), cells(NOTEBOOK), strict=True):
        assert new["source"] == saved["source"]
        assert [kind for kind in kinds(new) if "stderr" not in kind] == kinds(saved), new["source"]
