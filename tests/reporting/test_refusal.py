from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pandas as pd

from hallmark.contracts.errors import GateRefused
from hallmark.reporting.refusal import write_refusal

if TYPE_CHECKING:
    from pathlib import Path


def test_a_refusal_is_kept_as_story_ledger_and_page(tmp_path: Path) -> None:
    ledger = pd.DataFrame({"path": ["a.png"], "fate": ["quarantined"], "reasons": ["corrupt"], "label": ["a"]})
    refusal = GateRefused(
        "too much is broken", remedy=["repair the files", "raise the limit"], story={"share": 0.9}, ledger=ledger
    )
    write_refusal("validate", refusal, tmp_path)
    folder = tmp_path / ".hallmark/refusals/validate"
    story = json.loads((folder / "story.json").read_text())
    assert story == {
        "stage": "validate",
        "message": "too much is broken",
        "remedies": ["repair the files", "raise the limit"],
        "share": 0.9,
    }
    assert "a.png" in (folder / "ledger.csv").read_text()
    page = (folder / "index.html").read_text()
    assert all(text in page for text in ("too much is broken", "repair the files", "raise the limit", "a.png"))


def test_a_later_refusal_replaces_the_earlier_one(tmp_path: Path) -> None:
    ledger = pd.DataFrame({"path": ["a.png"], "fate": ["quarantined"], "reasons": ["corrupt"], "label": ["a"]})
    write_refusal("validate", GateRefused("first", ledger=ledger), tmp_path)
    write_refusal("validate", GateRefused("second"), tmp_path)
    folder = tmp_path / ".hallmark/refusals/validate"
    assert json.loads((folder / "story.json").read_text())["message"] == "second"
    assert not (folder / "ledger.csv").exists()
