"""How a set differs from the last accepted one: class shares and image statistics, with effect sizes.

A user accepts a set: ``hallmark accept`` writes the profile of the usable images to data/accepted.json, which is kept
in git and is an input of validate. The comparison depends on files only.

The population stability index of two distributions over the same bins is sum((q - p) ln(q / p)): below 0.1 little,
above 0.25 much (Siddiqi, Credit Risk Scorecards, 2006). Without drift it is distributed like chi squared with bins - 1
degrees of freedom times (1/n + 1/m) (Yurdakul, 2018); below the 99 % quantile the level is ``none``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from hallmark.contracts.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

BINS = 10
SOME, STRONG = 0.1, 0.25
CHANCE = 0.99
# added to each bin's count, so that an empty one has a logarithm
LEAST_COUNT = 0.5
# least shift of a mean to report, in standard deviations of the accepted set
WORTH_TELLING = 0.2


def values_of(images: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    """The compared quantities by name, float64 [images] each. ``images`` has the columns of MEASUREMENTS."""
    width, height = images["width"].to_numpy(np.float64), images["height"].to_numpy(np.float64)
    return {
        **{name: images[name].to_numpy(np.float64) for name in ("brightness", "contrast", "sharpness", "noise")},
        "side": np.sqrt(width * height),
        "aspect": width / np.maximum(height, 1),
    }


def profile(images: pd.DataFrame) -> dict[str, Any]:
    """The profile of usable images: the columns of MEASUREMENTS and ``label``."""
    measures = {}
    for name, values in values_of(images).items():
        edges = np.unique(np.quantile(values, np.arange(1, BINS) / BINS))
        measures[name] = {
            "edges": edges.tolist(),
            "counts": _counts(values, edges).tolist(),
            "mean": float(values.mean()),
            "deviation": float(values.std()),
        }
    return {
        "images": len(images),
        "classes": _tally(images["label"]),
        "formats": _tally(images["format"]),
        "measures": measures,
    }


def read_accepted(path: Path) -> dict[str, Any]:
    """The profile in data/accepted.json; empty if no set has been accepted. Raises InputError."""
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        whole = read == {} or (isinstance(read, dict) and {"images", "classes", "formats", "measures"} <= read.keys())
    except (UnicodeDecodeError, json.JSONDecodeError):
        whole = False
    if not whole:
        raise InputError(
            f"data/{path.name} is not a profile of a data set",
            remedy="restore it from git, or run `hallmark accept` to write it from the current data",
        )
    accepted: dict[str, Any] = read
    return accepted


def compare(accepted: dict[str, Any], images: pd.DataFrame) -> dict[str, Any]:
    """The drift from an accepted profile to usable images, as values and in ``words``; empty without a profile."""
    if not accepted or images.empty:
        return {}
    now = profile(images)
    classes, formats = (_shares(accepted[name], now[name]) for name in ("classes", "formats"))
    measures = {}
    for name, values in values_of(images).items():
        before = accepted["measures"].get(name)
        if before is None:
            continue
        after = _counts(values, np.array(before["edges"], np.float64))
        index, level = _stability(np.array(before["counts"], np.float64), after)
        measures[name] = {
            "psi": index,
            "level": level,
            "mean_before": round(before["mean"], 6),
            "mean_now": round(float(values.mean()), 6),
            "difference": _difference(values, before),
        }
    drift = {"accepted_images": accepted["images"], "classes": classes, "formats": formats, "measures": measures}
    return drift | {"words": _words(drift)}


def _tally(values: pd.Series) -> dict[str, int]:
    return {str(name): int(count) for name, count in values.value_counts().sort_index().items()}


def _counts(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """Values in each of the bins (-inf, e0], (e0, e1], ... (last, inf)."""
    return np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)


def _stability(before: NDArray[Any], after: NDArray[Any]) -> tuple[float, str]:
    """The index and its level: none, some or strong."""
    from scipy.stats import chi2

    n, m = before.sum(), after.sum()
    p, q = ((counts + LEAST_COUNT) / (counts + LEAST_COUNT).sum() for counts in (before, after))
    index = float(np.sum((q - p) * np.log(q / p)))
    by_chance = float(chi2.ppf(CHANCE, max(len(before) - 1, 1))) * (1 / n + 1 / m)
    if index < SOME or index <= by_chance:
        return round(index, 4), "none"
    return round(index, 4), "strong" if index > STRONG else "some"


def _shares(before: dict[str, int], now: dict[str, int]) -> dict[str, Any]:
    names = sorted({*before, *now})
    counts = [np.array([side.get(name, 0) for name in names], np.float64) for side in (before, now)]
    index, level = _stability(*counts)
    return {
        "psi": index,
        "level": level,
        "new": [name for name in names if name not in before],
        "gone": [name for name in names if name not in now],
        "shares": {
            name: [round(float(side[column] / side.sum()), 6) for side in counts] for column, name in enumerate(names)
        },
    }


def _difference(values: NDArray[np.float64], before: dict[str, Any]) -> float | None:
    """The difference of the means in standard deviations of the accepted set; None if that deviation is 0."""
    if before["deviation"] <= 0:
        return None
    return round((float(values.mean()) - float(before["mean"])) / float(before["deviation"]), 4)


def _words(drift: dict[str, Any]) -> list[str]:
    words = []
    classes = drift["classes"]
    for verb, names in (("has not seen", classes["new"]), ("had, and now is gone", classes["gone"])):
        if names:
            listed = ", ".join(f"'{name}'" for name in names[:5]) + (" and more" if len(names) > 5 else "")
            words.append(f"Classes that the accepted set {verb}: {listed}.")
    if classes["level"] != "none":
        name, (before, now) = max(classes["shares"].items(), key=lambda item: abs(item[1][1] - item[1][0]))
        words.append(
            f"The class shares differ (stability index {classes['psi']:.2f}, {classes['level']}), most of all "
            f"'{name}': {before:.1%} then, {now:.1%} now."
        )
    if drift["formats"]["level"] != "none":
        words.append(f"The file formats differ (stability index {drift['formats']['psi']:.2f}).")
    for name, one in drift["measures"].items():
        shift = one["difference"]
        if one["level"] == "none" and (shift is None or abs(shift) < WORTH_TELLING):
            continue
        by = "" if shift is None else f", the mean moved by {shift:+.2f} standard deviations"
        words.append(f"{name.capitalize()} differs (stability index {one['psi']:.2f}, {one['level']}{by}).")
    return words or ["Class shares, formats and image statistics are those of the accepted set."]


def accept(root: Path) -> int:
    """Writes the profile of the usable images to data/accepted.json and returns their number. Raises InputError."""
    from hallmark.contracts import tables
    from hallmark.contracts.durable import write_text

    paths = root / "data" / "ingest" / "manifest.parquet", root / "data" / "validate" / "measurements.parquet"
    if not all(path.exists() for path in paths):
        raise InputError("there is no validated data set to accept", remedy="run `hallmark run` first")
    manifest, measured = (
        tables.read_table(path, table)
        for path, table in zip(paths, (tables.MANIFEST, tables.MEASUREMENTS), strict=True)
    )
    usable = measured[~measured["quarantined"]].merge(manifest[["path", "label"]], on="path", validate="1:1")
    write_text(root / "data" / "accepted.json", json.dumps(profile(usable), indent=1, ensure_ascii=False) + "\n")
    return len(usable)
