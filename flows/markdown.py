"""Reports as Markdown for Prefect's UI, whose reader may have no access to the files of the run's machine."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

from flows import summary
from hallmark.contracts.names import FATES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

MOST_ROWS = 50
TITLES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "log_loss": "Log loss",
    "ece": "Calibration error",
}
SPECIAL = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_{}[]<>()#+!|~$"} | {"\n": " ", "\r": " "})


def text(value: object) -> str:
    """A value as literal text: class and file names may contain Markdown characters.

    >>> text("a|b <i>")
    'a\\\\|b \\\\<i\\\\>'
    """
    return str(value).translate(SPECIAL)


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table, the first column left-aligned, the others right-aligned; rows past :data:`MOST_ROWS` are counted."""
    lines = [headings, ["---", *("---:" for _ in headings[1:])], *([text(cell) for cell in row] for row in rows)]
    body = "\n".join("| " + " | ".join(line) + " |" for line in lines[: MOST_ROWS + 2])
    return body + (f"\n\n… and {len(rows) - MOST_ROWS} more" if len(rows) > MOST_ROWS else "")


def report(root: Path, result: summary.Summary) -> str:
    """Results of a finished run: decision, metrics, classes, files, warnings, and the path of the full report."""
    evaluate, train, clean = (_json(root / "reports" / f"{name}.json") for name in ("evaluate", "train", "clean"))
    best = f"{train['model']}, {train['n_parameters']:,} parameters, epoch {train['best_epoch']} of {train['epochs']}"
    parts = [
        f"# {text(result.decision)}",
        _decision(result),
        f"Network: {text(best)}.",
        f"## Test set: {result.n_test} images",
        table(
            ["", "value", "95 % interval"],
            [[TITLES[name], f"{value:.4f}", _span([low, high])] for name, value, low, high in result.metrics],
        ),
        "## Classes",
        table(
            ["class", "test images", "precision", "recall", "95 % interval of recall"],
            [
                [name, row["support"], _share(row["precision"]["value"]), *_estimate(row["recall"])]
                for name, row in evaluate["per_class"].items()
            ],
        ),
        f"## Files: {clean['found']} found",
        table(
            ["class", *FATES, "found"],
            [[name, *(counts[fate] for fate in FATES), sum(counts.values())] for name, counts in result.files],
        ),
        *_warnings([*evaluate.get("warnings", []), *train.get("warnings", [])]),
        "## More",
        f"The full report: `{root.resolve() / 'reports' / 'index.html'}` on `{socket.gethostname()}`.\n\n"
        f"The runs in MLflow: `{summary.tracking_command()}`",
    ]
    return "\n\n".join(parts) + "\n"


def model(result: summary.Summary) -> str:
    """The promotion decision and how to view the model."""
    return f"# {text(result.decision)}\n\n{_decision(result)}\n\nView it in MLflow: `{summary.tracking_command()}`\n"


def refusal(story: Mapping[str, Any], folder: Path) -> str:
    """A gate's refusal from its story.json; ``folder`` holds the full page and the ledger."""
    parts = [f"# {text(story['stage'])}: refused", text(story["message"])]
    for name, value in story.items():
        if name in ("stage", "message"):
            continue
        parts += [f"## {text(name.replace('_', ' '))}", _section(value)]
    parts += ["## More", f"The full page: `{(folder / 'index.html').resolve()}` on `{socket.gethostname()}`."]
    return "\n\n".join(parts) + "\n"


def _decision(result: summary.Summary) -> str:
    if result.refused:
        return f"The model was refused: {text(result.refused)}"
    words = f"`{result.model_uri}` (version {result.version})"
    return f"{words}: {text(result.challenged)}" if result.challenged else words


def _warnings(lines: Sequence[str]) -> list[str]:
    return ["## Warnings", "\n".join(f"- {text(line)}" for line in lines)] if lines else []


def _section(value: Any) -> str:
    """One part of a refusal: a table of rows or of pairs, a list, or text."""
    if isinstance(value, dict):
        return table(["", ""], [[name, _plain(each)] for name, each in value.items()])
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        columns = list(dict.fromkeys(column for row in value for column in row))
        return table(columns, [[_plain(row.get(column, "")) for column in columns] for row in value])
    if isinstance(value, list):
        more = f"\n- … and {len(value) - MOST_ROWS} more" if len(value) > MOST_ROWS else ""
        return "\n".join(f"- {text(_plain(item))}" for item in value[:MOST_ROWS]) + more
    return text(_plain(value))


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _estimate(estimate: Mapping[str, Any]) -> list[str]:
    return [_share(estimate["value"]), _span(estimate["ci95"])]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _span(ends: Sequence[float | None]) -> str:
    low, high = ends
    return "–" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
