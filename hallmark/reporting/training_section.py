"""The report section on training: balance, augmentation, synthetic images and learning curves."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from hallmark.reporting import charts, pictures

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

    from hallmark.reporting.inputs import Inputs


def training_section(inputs: Inputs) -> dict[str, Any]:
    """The context of templates/training.html."""
    train = inputs.reports["train"]
    history = inputs.history
    scores = ["train_accuracy", "val_accuracy", "objective"]
    return {
        "balance": inputs.reports["balance"],
        "augment": {
            **inputs.reports["augment"],
            "preview": pictures.sheet(inputs.plots / "augment" / "preview.png"),
            "rows": [
                {**row, "settings": _settings(row.get("arguments", {}))}
                for row in inputs.reports["augment"]["transforms"]
            ],
        },
        "synthesize": {
            **inputs.reports["synthesize"],
            "samples": pictures.sheet(inputs.plots / "synthesize" / "samples.png"),
        },
        "train": train,
        "model": inputs.model,
        "loss_curves": _curves(history, ["train_loss", "val_loss"], "loss", train["best_epoch"]),
        "lr_search": _search(train["lr_search"], train["lr"]),
        "score_curves": _curves(history, scores, "score", train["best_epoch"]),
    }


def _curves(history: pd.DataFrame, names: list[str], title: str, best: int) -> Markup:
    x = [float(value) for value in history["epoch"]]
    series: dict[str, list[float | None]] = {
        name.replace("_", " "): [None if value != value else float(value) for value in history[name]] for name in names
    }
    return charts.lines(x, series, x_title="epoch", y_title=title, mark=float(best), mark_title="weights kept")


def _search(rows: list[dict[str, float]], chosen: float) -> Markup | None:
    """The loss over log10 of the learning rates tried; None without a search."""
    if not rows:
        return None
    x = [math.log10(row["lr"]) for row in rows]
    series = {"loss while the rate grows": [row["loss"] for row in rows]}
    return charts.lines(
        x, series, x_title="log10 of the learning rate", y_title="loss", mark=math.log10(chosen), mark_title="chosen"
    )


def _settings(arguments: dict[str, Any]) -> str:
    """A transform's arguments on one line.

    >>> _settings({"limit": [-10, 10], "p": 0.5})
    'limit [-10, 10], p 0.5'
    """
    return ", ".join(f"{name} {json.dumps(value)}" for name, value in sorted(arguments.items()))
