"""The published results of evaluation: prediction table, confusion pairs, and warnings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hallmark.contracts.names import probability_columns
from hallmark.contracts.tables import CLUSTERS, write_table
from hallmark.judgement import calibration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hallmark.judgement.judged import Judged

SMALL_SUPPORT = 10
FIGURES = "figures.json"  # registered with the model

# the figures in figures.json
PUBLISHED = (
    "n_test",
    "n_clusters",
    "objective",
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "log_loss",
    "ece",
    "auroc",
    "per_class",
    "warnings",
)


def prediction_table(images: pd.DataFrame, judged: Judged) -> pd.DataFrame:
    """``path, label, predicted`` and one probability column per class, in the order of the images."""
    names = np.array(judged.classes, dtype=object)
    columns = {
        "path": images["path"].astype("string"),
        "label": images["label"].astype("string"),
        "predicted": pd.Series(names[judged.predicted], dtype="string"),
    }
    for index, column in enumerate(probability_columns(judged.classes)):
        columns[column] = pd.Series(judged.probabilities[:, index])
    return pd.DataFrame(columns)


def confusion_table(images: pd.DataFrame, judged: Judged) -> pd.DataFrame:
    """``actual, predicted``, one row per image, as DVC's confusion template expects."""
    table = prediction_table(images, judged)
    return pd.DataFrame({"actual": table["label"], "predicted": table["predicted"]})


def write_tables(images: pd.DataFrame, judged: Judged, *, evaluate: Path, plots: Path) -> pd.DataFrame:
    """Writes the predictions, clusters and reliability to ``evaluate``, reliability and confusions to ``plots``.

    Returns the reliability table, see :func:`calibration.reliability`.
    """
    prediction_table(images, judged).to_parquet(evaluate / "predictions.parquet", index=False, compression="zstd")
    write_table(images[["path", "cluster"]], CLUSTERS, evaluate / "clusters.parquet")
    reliability = calibration.reliability(judged.confidence, judged.right)
    reliability.to_parquet(evaluate / "calibration.parquet", index=False, compression="zstd")
    reliability.to_csv(plots / "calibration.csv", index=False)
    confusion_table(images, judged).to_csv(plots / "confusion.csv", index=False)
    return reliability


def write_json(path: Path, values: Mapping[str, Any], *, indent: int | None = None) -> None:
    """Writes finite values as JSON with a line break at the end."""
    path.write_text(json.dumps(values, indent=indent, allow_nan=False) + "\n", encoding="utf-8")


def headline(figures: Mapping[str, Any], *, epochs: int) -> dict[str, float | None]:
    """The flat figures of reports/metrics.json, few enough for one row of ``dvc exp show``.

    ``figures`` are those of :func:`summary.summarise`. None if the test set does not define a figure; DVC leaves that
    cell empty.
    """
    recalls = [row["recall"]["value"] for row in figures["per_class"].values() if row["support"]]
    return {
        "objective": figures["objective"]["value"],
        **{name: figures[name]["value"] for name in ("accuracy", "balanced_accuracy", "macro_f1")},
        "worst_recall": min(recalls, default=None),
        "auroc": figures["auroc"],
        **{name: figures[name]["value"] for name in ("log_loss", "ece")},
        "n_test": figures["n_test"],
        "n_classes": len(figures["per_class"]),
        "epochs": epochs,
    }


def write_figures(folder: Path, figures: Mapping[str, Any]) -> None:
    """Writes figures.json."""
    text = json.dumps(figures, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / FIGURES).write_text(text + "\n", encoding="utf-8")


def warnings_of(
    judged: Judged,
    known_classes: Sequence[str],
    per_class: Mapping[str, Mapping[str, Any]],
    slices: Mapping[str, Mapping[str, Mapping[str, Any]]],
    figures: Mapping[str, Mapping[str, Any]],
    objective: Mapping[str, Any],
) -> list[str]:
    """Warnings about the test set and the model that limit how far the figures can be trusted."""
    warnings = [
        f"The test set has images of '{name}', a class the model was not trained on: each counts as a mistake."
        for name in judged.classes[len(known_classes) :]
    ]
    if objective["value"] is None:
        warnings.append(
            "The test set does not define the objective: no image of the class it names, or one class only."
        )
    absent = [name for name, row in per_class.items() if row["support"] == 0]
    if absent:
        warnings.append(f"No test image of {_list(absent)}: the model's accuracy on it is unknown.")
    small = [name for name, row in per_class.items() if 0 < row["support"] < SMALL_SUPPORT]
    if small:
        warnings.append(f"Fewer than {SMALL_SUPPORT} test images of {_list(small)}: those figures are rough.")
    never = [name for name, row in per_class.items() if row["support"] and row["precision"]["value"] is None]
    if len(set(judged.predicted.tolist())) == 1:
        warnings.append(f"The model calls every image '{judged.classes[int(judged.predicted[0])]}'.")
    elif never:
        warnings.append(f"The model never predicts {_list(never)}.")
    accuracy = figures["accuracy"]["ci95"]
    for dimension, parts in slices.items():
        if dimension == "flagged":  # reported beside every figure
            continue
        for part, row in parts.items():
            high = row["accuracy"]["ci95"][1]
            if row["n"] >= SMALL_SUPPORT and high is not None and high < accuracy[0]:
                warnings.append(
                    f"Accuracy is lower where {dimension} is '{part}': {row['accuracy']['value']:.1%} "
                    f"of {row['n']} images against {figures['accuracy']['value']:.1%} overall."
                )
    return warnings


def _list(names: Sequence[str], most: int = 8) -> str:
    listed = ", ".join(f"'{name}'" for name in names[:most])
    return f"{listed} and {len(names) - most} more" if len(names) > most else listed
