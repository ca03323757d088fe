"""What the epochs of a training left, as files."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from pathlib import Path

    from hallmark.learning.fitted import Fitted


def write(fitted: Fitted, *, train: Path, plots: Path) -> None:
    """history.parquet in ``train``; in ``plots`` history.csv, and lr_search.csv where a learning rate was searched."""
    history = pd.DataFrame(fitted.history)
    # without validation images a column of None would have no type
    history = history.astype({name: "float64" for name in history.columns if name != "epoch"})
    history.to_parquet(train / "history.parquet", index=False, compression="zstd")
    columns = ["epoch", "train_loss", "val_loss", "objective", "lr"]
    history[columns].to_csv(plots / "history.csv", index=False, lineterminator="\n")
    if fitted.search:
        pd.DataFrame(fitted.search).to_csv(plots / "lr_search.csv", index=False, lineterminator="\n")


def curves(fitted: Fitted) -> Any:
    """A matplotlib figure of the learning curves: losses, and the scores in [0, 1]."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    names = (("train_loss", "val_loss"), ("train_accuracy", "val_accuracy", "objective"))
    for axes, group in zip(figure.subplots(1, 2), names, strict=True):
        for name in group:
            points = [(row["epoch"], row[name]) for row in fitted.history if finite(row[name]) is not None]
            if points:
                axes.plot(*zip(*points, strict=True), label=name.replace("_", " "), marker=".")
        axes.axvline(fitted.best_epoch, color="grey", linewidth=0.8, linestyle="--")
        axes.set_xlabel("epoch")
        axes.legend()
    return figure


def finite(value: float | None) -> float | None:
    """None for what JSON cannot say."""
    return value if value is not None and math.isfinite(value) else None
