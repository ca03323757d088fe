"""Calibration: the reliability table and temperature scaling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hallmark.statistics import metrics
from hallmark.statistics.intervals import wilson
from hallmark.statistics.temperature import fit

if TYPE_CHECKING:
    from numpy.typing import NDArray


def reliability(confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = metrics.BINS) -> pd.DataFrame:
    """One row per equal-mass confidence bin: ``bin, n, lowest, highest, confidence, accuracy, low, high``.

    ``confidence`` is the mean highest probability; ``low`` and ``high`` are the Wilson interval of the accuracy.
    """
    frame = pd.DataFrame({"mass_bin": metrics.bins_of(confidence, bins), "confidence": confidence, "right": right})
    table = (
        frame.groupby("mass_bin", sort=True)
        .agg(
            n=("right", "size"),
            lowest=("confidence", "min"),
            highest=("confidence", "max"),
            confidence=("confidence", "mean"),
            accuracy=("right", "mean"),
        )
        .reset_index(drop=True)
    )
    edges = [wilson(share, n) for share, n in zip(table["accuracy"], table["n"], strict=True)]
    table["low"] = [low for low, _ in edges]
    table["high"] = [high for _, high in edges]
    table.insert(0, "bin", np.arange(1, len(table) + 1))
    return table


def temperature(logits: NDArray[np.float64], labels: NDArray[np.integer[Any]]) -> float | None:
    """The temperature in [0.05, 20] with the least log loss on held-out logits [n, classes] (Guo et al. 2017).

    None without images or without mistakes (the best temperature is then 0).
    """
    if len(labels) == 0 or bool((logits.argmax(axis=1) == labels).all()):
        return None

    return fit(logits, labels, bounds=(np.log(0.05), np.log(20)), divide=True, capped=True)[0]
