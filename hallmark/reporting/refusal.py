"""The page of a gate's refusal: message, remedies, details, and every file known so far."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hallmark.contracts import durable
from hallmark.contracts.names import FATES
from hallmark.contracts.reasons import counts
from hallmark.contracts.runtime import state
from hallmark.reporting import words
from hallmark.reporting.templating import environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from hallmark.contracts.errors import GateRefused

MOST_FILES = 500
MOST_ROWS = 200


def write_refusal(stage: str, refusal: GateRefused, root: Path) -> None:
    """Writes .hallmark/refusals/<stage>/: story.json, index.html and, if known, ledger.csv."""
    folder = state(root) / "refusals" / stage
    durable.remove(folder)
    folder.mkdir(parents=True)
    story = {"stage": stage, "message": refusal.message, "remedies": list(refusal.remedies), **refusal.story}
    (folder / "story.json").write_text(json.dumps(story, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if refusal.ledger is not None:
        refusal.ledger.to_csv(folder / "ledger.csv", index=False)
    page = render_refusal(story, refusal.ledger, refusal.message, remedies=refusal.remedies)
    (folder / "index.html").write_text(page, encoding="utf-8")


def render_refusal(
    story: Mapping[str, Any], ledger: pd.DataFrame | None, message: str, *, remedies: Sequence[str]
) -> str:
    """One self-contained HTML page. ``story`` is plain JSON values; ``ledger`` has the ledger's columns."""
    stage = str(story.get("stage", ""))
    details = {name: value for name, value in story.items() if name not in ("stage", "message", "remedies")}
    return (
        environment()
        .get_template("refusal.html")
        .render(
            stage=stage,
            message=message,
            remedies=list(remedies),
            story=[_part(name, value) for name, value in details.items()],
            files=_files(ledger),
        )
    )


def _part(name: str, value: Any) -> dict[str, Any]:
    """A part of the story: a heading with text, a list, pairs or a table."""
    title = name.replace("_", " ")
    if isinstance(value, dict):
        return {"title": title, "kind": "pairs", "pairs": words.pairs(value)[:MOST_ROWS]}
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        columns = list(dict.fromkeys(column for row in value for column in row))
        rows = [[words.plain(row.get(column)) for column in columns] for row in value[:MOST_ROWS]]
        return {"title": title, "kind": "table", "columns": columns, "rows": rows, "total": len(value)}
    if isinstance(value, list):
        return {"title": title, "kind": "list", "items": [words.plain(item) for item in value[:MOST_ROWS]]}
    return {"title": title, "kind": "text", "text": words.plain(value)}


def _files(ledger: pd.DataFrame | None) -> dict[str, Any] | None:
    if ledger is None:
        return None
    text = ledger.astype("string").fillna("")
    marked = text[text["reasons"] != ""]
    return {
        "n_files": len(text),
        "fates": [(fate, int((text["fate"] == fate).sum()), words.FATES[fate]) for fate in FATES],
        "reasons": [(reason, words.REASONS[reason], n) for reason, n in counts(text["reasons"]).items()],
        "marked": len(marked),
        "rows": [
            {"path": path, "label": label, "fate": fate, "why": words.reasons_in_words(reasons)}
            for path, label, fate, reasons in marked[["path", "label", "fate", "reasons"]]
            .head(MOST_FILES)
            .itertuples(index=False)
        ],
    }
