"""The results of a run, read from a workspace's reports and shown as HTML."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from hallmark.contracts.errors import InputError
from hallmark.reporting import run_results
from hallmark.reporting.run_results import METRICS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "reports").mkdir()
    (tmp_path / "data" / "evaluate").mkdir(parents=True)
    figures = {name: {"value": 0.5, "ci95": [0.25, 0.75]} for name in METRICS}
    per_class = {"": {"quarantined": 1}, "<b>": {"kept": 2, "removed": 1}, "a": {"kept": 3}}
    contents: dict[str, dict[str, Any]] = {
        "evaluate": {"n_test": 3, **figures, "accuracy": {"value": 0.875, "ci95": [0.5, 1.0]}},
        "register": {"decision": "challenger", "reasons": ["<not> sure"], "model_uri": "models:/m/2", "version": 2},
        "clean": {"found": 7, "per_class": per_class},
    }
    for name, content in contents.items():
        (tmp_path / "reports" / f"{name}.json").write_text(json.dumps(content))
    (tmp_path / "reports" / "index.html").write_text('<script>"a & b"</script>')
    (tmp_path / "reports" / "ledger.csv").write_text("path,label,group,fate\nNA,01,,kept\n")
    pd.DataFrame({"path": ["x"], "label": ["a"]}).to_parquet(tmp_path / "data" / "evaluate" / "predictions.parquet")
    return tmp_path


def test_figures_files_and_frames(workspace: Path) -> None:
    run = run_results.read(workspace)
    assert (run.decision, run.reasons, run.model_uri, run.n_test) == ("challenger", ("<not> sure",), "models:/m/2", 3)
    assert run.figures.index.tolist() == list(METRICS)
    assert list(run.figures.columns) == ["value", "low", "high"]
    assert list(run.figures.loc["accuracy"]) == [0.875, 0.5, 1.0]
    assert run.files.index.tolist() == ["<b>", "a", "", "all"]
    assert list(run.files.columns) == ["kept", "flagged", "relabelled", "removed", "quarantined"]
    assert list(run.files.loc["all"]) == [5, 0, 0, 1, 1]
    assert list(run.ledger.loc[0]) == ["NA", "01", "", "kept"]
    assert run.predictions["path"].tolist() == ["x"]
    assert run.report == workspace / "reports" / "index.html"


def test_a_notebook_shows_a_card_and_the_report(workspace: Path) -> None:
    run = run_results.read(workspace)
    assert repr(run) == (
        f"<Run challenger models:/m/2: accuracy 0.875 (0.500 to 1.000), {workspace / 'reports' / 'index.html'}>"
    )
    card = run._repr_html_()
    for words in (
        "challenger",
        "&lt;not&gt; sure",
        "0.8750",
        "0.5000 to 1.0000",
        "&lt;b&gt;",
        "(no label)",
        "3 images",
    ):
        assert words in card
    assert "<b>" not in card
    page = run.show(height=321)._repr_html_()
    assert 'srcdoc="&lt;script&gt;&quot;a &amp; b&quot;&lt;/script&gt;"' in page
    assert "height: 321px" in page


def test_without_a_finished_run_the_message_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no finished run \(no evaluate\.json\); call hallmark\.run"):
        run_results.read(tmp_path)
