"""Counts and distributions of a judged set, as deterministic JSON values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from hallmark.contracts.reasons import REASONS, having
from hallmark.contracts.tables import LEDGER, conform

MEASURES = ("brightness", "contrast", "sharpness", "noise")


def fates(table: pd.DataFrame) -> pd.Series:
    """quarantined, flagged (reasons, but usable) or kept, by row."""
    fate = np.where(table["quarantined"], "quarantined", np.where(table["reasons"] != "", "flagged", "kept"))
    return pd.Series(fate, index=table.index, dtype="string")


def summary(table: pd.DataFrame) -> dict[str, Any]:
    """Counts and distributions of the manifest joined with measurements, ``reasons`` and ``quarantined``."""
    fate = fates(table)
    images = table[table["width"] > 0]
    counts = {name: int((fate == name).sum()) for name in ("kept", "flagged", "quarantined")}
    assert sum(counts.values()) == len(table), "every file has exactly one fate"
    return {
        "found": len(table),
        "images": len(images),
        **counts,
        "reasons": _reasons(table),
        "classes": _classes(table, fate),
        "formats": _counts(images["format"]),
        "modes": _counts(images["mode"]),
        "sizes": _sizes(images),
        "measures": {name: _quantiles(images[name]) for name in MEASURES} if len(images) else {},
    }


def _counts(values: pd.Series) -> dict[str, int]:
    return {str(name): int(count) for name, count in values.value_counts().sort_index().items()}


def _reasons(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    rows = {name: having(table["reasons"], [name]) for name in REASONS}
    quarantined = table["quarantined"].to_numpy(bool)
    return {
        name: {"images": int(marked.sum()), "quarantined": int((marked & quarantined).sum())}
        for name, marked in rows.items()
        if marked.any()
    }


def _classes(table: pd.DataFrame, fate: pd.Series) -> dict[str, dict[str, int]]:
    """Per label as found, '' where there is none: found, and each fate."""
    label = table["label"].fillna("")
    counts = {}
    for name in sorted(set(label)):
        of_class = fate[label == name]
        counts[str(name)] = {
            "found": len(of_class),
            "usable": int((of_class != "quarantined").sum()),
            "kept": int((of_class == "kept").sum()),
            "flagged": int((of_class == "flagged").sum()),
            "quarantined": int((of_class == "quarantined").sum()),
        }
    return counts


def _sizes(images: pd.DataFrame) -> dict[str, Any]:
    if images.empty:
        return {}
    pairs = images["width"].astype(str) + "x" + images["height"].astype(str)
    counts = pairs.value_counts()
    # names break ties, so that the list does not depend on the row order
    common = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))[:10]
    return {
        "distinct": len(counts),
        "most_common": {str(name): int(count) for name, count in common},
        "width": _quantiles(images["width"]),
        "height": _quantiles(images["height"]),
    }


def _quantiles(values: pd.Series) -> dict[str, float]:
    names = ("min", "q05", "median", "q95", "max")
    quantiles = np.quantile(values.to_numpy(np.float64), [0, 0.05, 0.5, 0.95, 1])
    return {name: round(float(value), 6) for name, value in zip(names, quantiles, strict=True)}


def expectations(outcomes: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts of expectations that held by severity, and the failed ones."""
    run = [one for one in outcomes if not one["left_out"]]
    return {
        "checked": len(run),
        "left_out": len(outcomes) - len(run),
        "held": {
            severity: [
                sum(one["success"] for one in run if one["severity"] == severity),
                sum(one["severity"] == severity for one in run),
            ]
            for severity in ("critical", "warning", "info")
        },
        "failed": [
            {name: one[name] for name in ("suite", "name", "columns", "severity", "reason", "unexpected", "observed")}
            for one in run
            if not one["success"]
        ],
    }


def ledger(table: pd.DataFrame) -> pd.DataFrame:
    """The ledger of a refused set, with the decisions so far: one row per source file."""
    fate = fates(table)
    rows = table[["path", "label", "group", "reasons"]].assign(
        split=table["given_split"],
        fate=fate,
        stage=fate.map({"kept": "", "flagged": "validate", "quarantined": "validate"}),
    )
    return conform(rows, LEDGER)
