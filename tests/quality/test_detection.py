"""Detection: what is detected and what is spared, depending on rules and images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from hallmark.contracts.names import NO_FOLDER
from hallmark.quality import detection, embedding, thumbnails

if TYPE_CHECKING:
    from numpy.typing import NDArray

RULES: dict[str, Any] = {
    "duplicates": "remove",
    "outliers": "remove",
    "outlier_false_alarms": 0.0001,
    "label_issues": "remove",
    "label_evidence": 15.0,
    "relabel_confidence": 0.9,
    "downweight": 0.3,
    "max_removed_share": 0.5,
    "folds": 3,
    "min_images": 20,
    "out_of_fold": NO_FOLDER,
}
N = 60


def table(**columns: Any) -> pd.DataFrame:
    """Alternating images of two classes, each its own cluster; a tenth each in val and test."""
    plain = {
        "path": [f"{number:02}.png" for number in range(N)],
        "split": ["val", "test", *["train"] * 8] * (N // 10),
        "label": ["a", "b"] * (N // 2),
        "cluster": [str(number) for number in range(N)],
        "representative": True,
        "decided": False,
        "reasons": "",
        "fate": "kept",
        "weight": 1.0,
        "outlier_score": np.nan,
        "label_quality": np.nan,
        "suggested_label": pd.array([pd.NA] * N, dtype="string"),
    }
    return pd.DataFrame(plain | columns, index=range(N))


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> NDArray[np.uint8]:
    """Replaces the images of a folder: light from the left for one class, from above for the other."""
    side = embedding.SIDE
    ramp = np.broadcast_to(np.linspace(40, 200, side), (side, side))
    noise = np.random.default_rng(0).normal(0, 8, (N, side, side))
    grey = np.array([ramp if number % 2 else ramp.T for number in range(N)]) + noise
    images = np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=3)
    monkeypatch.setattr(thumbnails, "load", lambda *_, **__: images)
    return images


def detect(frame: pd.DataFrame, **changes: Any) -> detection.Detected:
    return detection.detect(
        frame,
        np.zeros((len(frame), 2), np.int64),
        Path("nowhere"),
        rules=detection.Rules(**(RULES | changes)),
        order=np.random.default_rng(1).random(len(frame)),
        encode=None,
    )


@pytest.mark.usefixtures("shown")
def test_a_wrong_label_is_removed_from_train_and_flagged_elsewhere() -> None:
    frame = table()
    wrong = [0, 12]  # one of val, one of train
    frame.loc[wrong, "label"] = "b"
    outcome = detect(frame)
    assert frame["fate"][wrong].tolist() == ["flagged", "removed"]
    assert frame["reasons"][wrong].tolist() == ["label_issue"] * 2
    assert frame["suggested_label"][wrong].tolist() == ["a", "a"]
    assert (frame["fate"].drop(wrong) == "kept").all()
    assert outcome.removed == {"conflicts": 0, "outliers": 0, "label_issues": 1}
    assert outcome.facts["label_issues"] == {"train": 1, "val": 1, "test": 0}
    assert outcome.facts["fitted_on"] == 48
    assert outcome.facts["out_of_fold_accuracy"] == pytest.approx(47 / 48, abs=1e-6)
    assert outcome.spared == 0
    assert frame["label_quality"].between(0, 1).all()


def test_an_image_unlike_all_others_is_an_outlier(shown: NDArray[np.uint8]) -> None:
    shown[15] = np.random.default_rng(5).integers(0, 256, shown[15].shape)
    frame = table()
    outcome = detect(frame, label_issues="off", outlier_false_alarms=0.0002)
    assert frame["outlier_score"].idxmax() == 15
    assert frame["fate"][15] == "removed"
    assert outcome.removed["outliers"] == outcome.facts["outliers"]["train"] >= 1
    assert frame["label_quality"].isna().all()


@pytest.mark.usefixtures("shown")
@pytest.mark.parametrize("changes", [{"outliers": "off", "label_issues": "off"}, {"min_images": 49}])
def test_nothing_is_detected_where_it_is_off_or_there_are_too_few_images(changes: dict[str, Any]) -> None:
    frame = table(reasons=["", *["conflicting_duplicate"] * 2, *[""] * (N - 3)] if "outliers" in changes else "")
    frame["cluster"] = ["0", "x", "x", *map(str, range(3, N))]
    outcome = detect(frame, **changes)
    assert frame[["outlier_score", "label_quality"]].isna().all(axis=None)
    assert outcome.facts["fitted_on"] == (47 if "outliers" in changes else 0)
    # of conflicting copies none is kept in train; the one in test stays
    assert outcome.removed["conflicts"] == ("outliers" in changes)


def test_one_class_is_too_few() -> None:
    outcome = detect(table(label="a"))
    assert outcome.facts == {"fitted_on": 0}


@pytest.mark.usefixtures("shown")
def test_without_predictions_from_elsewhere_no_image_counts_as_crossvalidated() -> None:
    assert detect(table()).facts["crossvalidated"] == 0
