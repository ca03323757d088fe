"""A run's results, read from its reports, for the terminal and for Prefect's artifacts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hallmark.contracts.names import FATES
from hallmark.reporting.run_results import METRICS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# classes in the terminal's table of files; the report lists all
MOST_CLASSES = 20


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Rows ready to print.

    ``files`` has the files by fate for each class (before relabelling) and, last, for all; ``refused`` is the promotion
    gate's reason, empty if the model was registered; ``challenged`` says why a challenger is not the champion.
    """

    stages: list[tuple[str, str, float]]
    metrics: list[tuple[str, float, float, float]]
    files: list[tuple[str, dict[str, int]]]
    n_test: int
    decision: str
    model_uri: str
    version: str
    refused: str
    challenged: str


def read(root: Path, outcomes: Mapping[str, tuple[str, float]]) -> Summary:
    """Reads the reports of a finished run; ``outcomes`` has each stage's outcome and seconds."""
    evaluate, register = (_json(root, name) for name in ("evaluate", "register"))
    rows = [(name, state, seconds) for name, (state, seconds) in outcomes.items()]
    metrics = [(name, evaluate[name]["value"], *evaluate[name]["ci95"]) for name in METRICS]
    reasons = {register["decision"]: "; ".join(register["reasons"])}
    return Summary(
        stages=rows,
        metrics=metrics,
        files=_files(_json(root, "clean")),
        n_test=evaluate["n_test"],
        decision=register["decision"],
        model_uri=register["model_uri"] or "",
        version=str(register["version"] or ""),
        refused=reasons.get("refused", ""),
        challenged=reasons.get("challenger", ""),
    )


def _files(clean: Mapping[str, Any]) -> list[tuple[str, dict[str, int]]]:
    """Files by fate, per class and in all; the counts must add up to all files found."""
    rows = {name: {fate: counts.get(fate, 0) for fate in FATES} for name, counts in clean["per_class"].items()}
    total = {fate: sum(row[fate] for row in rows.values()) for fate in FATES}
    assert sum(total.values()) == clean["found"], "the fates do not add up to the files found"
    ordered = sorted(rows.items(), key=lambda item: (item[0] == "", item[0]))
    listed = [(name or "(no label)", row) for name, row in ordered[:MOST_CLASSES]]
    rest = [row for _, row in ordered[MOST_CLASSES:]]
    if rest:
        listed.append((f"({len(rest)} more)", {fate: sum(row[fate] for row in rest) for fate in FATES}))
    return [*listed, ("all", total)]


def _json(root: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((root / "reports" / f"{name}.json").read_text(encoding="utf-8"))
    return content


def tracking_command() -> str:
    """The command that opens the MLflow UI, or the address of the tracking server."""
    import os
    import shlex
    import sys
    from pathlib import Path

    address = os.environ.get("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    if address.startswith("http"):
        return address
    program = Path(sys.executable).with_name("mlflow")
    command = program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program
    return f"{shlex.quote(str(command))} ui --backend-store-uri {address}"
