"""What the epochs of a training left, as files."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from pathlib import Path

    from hallmark.learning.loop import Fitted


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


def finite(value: float | None) -> float | None:
    """None for what JSON cannot say."""
    return value if value is not None and math.isfinite(value) else None
