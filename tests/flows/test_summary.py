from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest
from rich.console import Console as Rich

from flows import summary
from flows.console import Console
from hallmark.reporting.run_results import METRICS

if TYPE_CHECKING:
    from pathlib import Path

METRIC = {"value": 0.5, "ci95": [0.4, 0.6]}


def reports(root: Path, classes: int, found: int) -> None:
    (root / "reports").mkdir()
    fates = {"kept": 7, "flagged": 1, "removed": 1, "quarantined": 1}
    per_class = {"": {"quarantined": 3}} | {f"c{number:02d} [x]": fates for number in range(classes)}
    contents = {
        "evaluate": {"n_test": 3, **dict.fromkeys(METRICS, METRIC)},
        "register": {"decision": "promoted", "reasons": [], "model_uri": "m", "version": 1},
        "clean": {"found": found, "per_class": per_class},
    }
    for name, content in contents.items():
        (root / "reports" / f"{name}.json").write_text(json.dumps(content))


def test_every_file_is_counted_by_class_and_fate(tmp_path: Path) -> None:
    reports(tmp_path, 25, 253)
    result = summary.read(tmp_path, {})
    console = Console()
    console.rich = Rich(file=io.StringIO(), width=120)
    console.sum_up(result, tmp_path)
    assert isinstance(console.rich.file, io.StringIO)
    lines = [line.split() for line in console.rich.file.getvalue().splitlines()]
    assert ["c00", "[x]", "7", "1", "0", "1", "1", "10"] in lines
    assert ["(6", "more)", "35", "5", "0", "5", "8", "53"] in lines
    assert ["all", "175", "25", "0", "25", "28", "253"] in lines


def test_a_challenger_is_reported_with_the_reason(tmp_path: Path) -> None:
    reports(tmp_path, 1, 13)
    register = {"decision": "challenger", "reasons": ["the gain is not sure"], "model_uri": "m/2", "version": 2}
    (tmp_path / "reports" / "register.json").write_text(json.dumps(register))
    console = Console()
    console.rich = Rich(file=io.StringIO(), width=120)
    console.sum_up(summary.read(tmp_path, {}), tmp_path)
    assert isinstance(console.rich.file, io.StringIO)
    assert "Model   challenger, version 2  m/2\n        the gain is not sure\n" in console.rich.file.getvalue()


def test_files_that_do_not_add_up_are_our_mistake(tmp_path: Path) -> None:
    reports(tmp_path, 2, 24)
    with pytest.raises(AssertionError, match="add up"):
        summary.read(tmp_path, {})
