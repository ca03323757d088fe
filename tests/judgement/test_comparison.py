"""The comparison of a network: which images it samples, and what needs two classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hallmark.judgement import comparison
from hallmark.judgement.judged import Judged
from hallmark.judgement.objective import METRICS, Objective, gain_bounds
from hallmark.quality import embedding, thumbnails


def images(n: int, **columns: Any) -> pd.DataFrame:
    """Images of alternating classes, in splits of six, two and two; ``columns`` override the defaults."""
    plain = {
        "path": [f"{number:03}.png" for number in range(n)],
        "label": ["cat", "dog"] * (n // 2),
        "split": [*["train"] * 6, *["val"] * 2, *["test"] * 2] * (n // 10),
        "cluster": [str(number) for number in range(n)],
        "shard": 0,
        "row": range(n),
        "width": 8,
        "height": 8,
    }
    return pd.DataFrame(plain | columns, index=range(n))


def compare(frame: pd.DataFrame, weakest: tuple[str, ...] = ("dog", "cat")) -> dict[str, Any]:
    """Compares a network that predicts every test image correctly."""
    test = frame[frame["split"] == "test"]
    answered = Judged.of(test, np.eye(2)[(test["label"] == "dog").astype(int)] * 0.9 + 0.05, ("cat", "dog"))
    objective = Objective(metric="accuracy")
    return comparison.compare(
        frame, answered, Path("nowhere"), objective=objective, weakest=weakest, replicates=50, seed=0
    )


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Records the rows that are read, in order; the gradient of an image depends on its class."""
    rows: list[list[int]] = []

    def load(folder: Path, stored: Any, *, side: int, workers: int) -> Any:
        assert folder == Path("nowhere")
        assert workers >= 1
        rows.append(stored[:, 1].tolist())
        ramp = np.broadcast_to(np.linspace(40, 200, side), (side, side))
        noise = np.random.default_rng(0).normal(0, 8, (len(stored), side, side))
        grey = np.array([ramp if row % 2 else ramp.T for row in rows[-1]]) + noise
        return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=3)

    monkeypatch.setattr(thumbnails, "load", load)
    return rows


def test_a_linear_model_and_its_learning_curve_are_fitted_on_train_alone(read: list[list[int]]) -> None:
    frame = images(100)
    outcome = compare(frame)
    assert set(outcome) == {"baselines", "learning_curve"}
    assert set(outcome["baselines"]) == {"largest_class", "linear"}
    assert read == [frame.loc[frame["split"] == split, "row"].tolist() for split in ("train", "val", "test")]
    assert embedding.SIDE == 32
    assert outcome["learning_curve"] is not None
    assert outcome["baselines"]["largest_class"]["objective"]["value"] == pytest.approx(0.5)
    assert outcome["baselines"]["linear"]["objective"]["value"] == pytest.approx(1)


@pytest.mark.parametrize("split", ["val", "test"])
def test_without_a_training_image_there_is_nothing_to_compare_with(split: str, read: list[list[int]]) -> None:
    outcome = compare(images(20, split=split))
    assert outcome == {"baselines": {"largest_class": None, "linear": None}, "learning_curve": None}
    assert read == []


def test_of_one_class_only_the_largest_is_named(read: list[list[int]]) -> None:
    outcome = compare(images(20, label="cat"))
    assert outcome["baselines"]["largest_class"] is not None
    assert outcome["baselines"]["linear"] is None
    assert outcome["learning_curve"] is None
    assert read == []


def test_a_few_images_are_all_looked_at() -> None:
    assert comparison.sampled(images(40), "train", seed=0).tolist() == list(range(40))
    assert comparison.sampled(images(0), "val", seed=0).tolist() == []


@pytest.mark.parametrize("limit", ["MOST", "PIXELS"])
def test_of_many_images_an_even_part_of_each_class_is_looked_at(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = images(100, label=["cat"] * 90 + ["dog"] * 10)
    monkeypatch.setitem(getattr(comparison, limit), "val", 20 if limit == "MOST" else 20 * 64)
    rows = comparison.sampled(frame, "val", seed=0)
    assert sorted(set(rows)) == rows.tolist()
    assert frame["label"].iloc[rows].value_counts().to_dict() == {"cat": 18, "dog": 2}
    assert rows.tolist() == comparison.sampled(frame, "val", seed=0).tolist()
    assert rows.tolist() != comparison.sampled(frame, "val", seed=1).tolist()
    assert len(comparison.sampled(frame, "train", seed=0)) == 100


@pytest.mark.parametrize("metric", METRICS)
def test_a_gain_is_bounded_where_scores_are(metric: str) -> None:
    objective = Objective(metric=metric, class_name="a", costs={"a": {"b": 1.0}})
    assert gain_bounds(objective) == (None if metric in ("log_loss", "cost") else (-1.0, 1.0))
