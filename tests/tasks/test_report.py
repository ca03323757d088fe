from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from hallmark.contracts.errors import InputError
from tasks import report
from tests.reporting.world import build

if TYPE_CHECKING:
    from pathlib import Path

PARAMS = report.Params(title="", gallery=24, mistakes=24, thumbnail=96, enlarged=640)


def test_same_inputs_give_the_same_page(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    first, second = build(tmp_path / "one"), build(tmp_path / "two")
    assert report.run(PARAMS, **first) == report.run(PARAMS, **second)
    assert first["page"].read_bytes() == second["page"].read_bytes()
    assert str(tmp_path) not in first["page"].read_text()


def test_report_counts_what_the_page_shows(tmp_path: Path) -> None:
    places = build(tmp_path)
    result = report.run(PARAMS, **places)
    assert result.found == sum(result.fates.values()) == 82
    assert result.fates == {"kept": 73, "flagged": 4, "relabelled": 1, "removed": 2, "quarantined": 2}
    assert result.page_bytes == places["page"].stat().st_size < 3_000_000
    assert result.pictures == places["page"].read_text().count('src="data:image/')


def test_a_refused_model_is_reported(tmp_path: Path) -> None:
    places = build(tmp_path)
    path = places["reports"] / "register.json"
    refused = json.loads(path.read_text()) | {
        "decision": "refused",
        "version": None,
        "model_uri": None,
        "reasons": ["macro F1 is 0.2, below register.gate.objective 0.5"],
    }
    path.write_text(json.dumps(refused))
    report.run(PARAMS, **places)
    text = places["page"].read_text()
    assert "was refused and not registered" in text
    assert "below register.gate.objective" in text
    assert "load_model" not in text


def test_a_report_that_lacks_a_figure_is_our_fault(tmp_path: Path) -> None:
    places = build(tmp_path)
    path = places["reports"] / "evaluate.json"
    path.write_text(json.dumps({name: value for name, value in json.loads(path.read_text()).items() if name != "ece"}))
    with pytest.raises(KeyError, match="ece"):
        report.run(PARAMS, **places)


def test_a_ledger_that_lacks_a_file_is_our_fault(tmp_path: Path) -> None:
    places = build(tmp_path)
    pd.read_csv(places["ledger"]).iloc[1:].to_csv(places["ledger"], index=False)
    with pytest.raises(AssertionError, match="one row per file found"):
        report.run(PARAMS, **places)


def test_galleries_can_be_left_out(tmp_path: Path) -> None:
    places = build(tmp_path)
    result = report.run(report.Params(title="My model", gallery=0, mistakes=0, thumbnail=96, enlarged=640), **places)
    assert result.pictures == 3  # the sheet of augmentations and one cluster of two
    assert "My model" in places["page"].read_text()


def test_params_are_checked() -> None:
    with pytest.raises(InputError, match=r"^thumbnail is 4"):
        report.Params(title="", gallery=1, mistakes=1, thumbnail=4, enlarged=640)
