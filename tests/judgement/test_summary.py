"""The summary of predictions: it agrees with the rows it was made from, whatever their number and order."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hallmark.judgement.judged import Judged
from hallmark.judgement.objective import Objective
from hallmark.judgement.summary import summarise

CLASSES = ("cat", "dog")
DRAW: dict[str, Any] = {"objective": Objective(metric="accuracy"), "max_slices": 5, "replicates": 100, "seed": 0}


def images(n: int) -> pd.DataFrame:
    """Cats and dogs in turns, each its own cluster; every fourth is flagged."""
    frame = pd.DataFrame({"path": [f"{number}.png" for number in range(n)], "cluster": [str(x) for x in range(n)]})
    frame = frame.assign(label=[CLASSES[number % 2] for number in range(n)], brightness=0.5, width=8, height=8)
    return frame.assign(group="", fate=["kept" if number % 4 else "flagged" for number in range(n)])


def predicted(frame: pd.DataFrame, *, wrong: list[int]) -> Judged:
    """Right with probability 0.9, except for the rows ``wrong``."""
    right = np.array(frame["label"].eq("dog"), dtype=np.int64)
    right[wrong] = 1 - right[wrong]
    return Judged.of(frame, np.where(np.eye(2)[right] == 1, 0.9, 0.1), CLASSES)


def test_the_figures_are_those_of_the_rows() -> None:
    frame = images(40)
    summary = summarise(frame, predicted(frame, wrong=[0, 4, 1]), trained=CLASSES, **DRAW)
    assert (summary["n_test"], summary["n_clusters"]) == (40, 40)
    assert summary["accuracy"]["value"] == summary["objective"]["value"] == pytest.approx(37 / 40)
    assert (summary["objective"]["metric"], summary["objective"]["class_name"]) == ("accuracy", "")
    assert summary["without_flagged"]["n"] == 30
    assert summary["without_flagged"]["accuracy"]["value"] == pytest.approx(29 / 30)
    assert summary["slices"]["flagged"]["flagged"]["accuracy"]["value"] == pytest.approx(8 / 10)
    assert summary["per_class"]["dog"]["recall"]["value"] == pytest.approx(19 / 20)
    assert [row["n"] for row in summary["confusions"]] == [2, 1]
    assert summary["probability_columns"] == {"cat": "cat", "dog": "dog"}
    json.dumps(summary, allow_nan=False)


def test_a_class_that_the_model_does_not_know_is_a_mistake_and_a_warning() -> None:
    frame = images(40)
    frame.loc[39, "label"] = "emu"
    summary = summarise(frame, predicted(frame, wrong=[]), trained=CLASSES, **DRAW)
    assert summary["accuracy"]["value"] == pytest.approx(39 / 40)
    assert summary["per_class"]["emu"]["recall"]["value"] == 0.0
    assert any("'emu'" in line for line in summary["warnings"])
