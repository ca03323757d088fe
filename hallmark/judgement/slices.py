"""Slices of the test set by metadata, group, brightness, size, and whether the image is flagged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hallmark.judgement import assessment

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hallmark.judgement.judged import Judged

LEAST_THIRD = 0.1  # least share of the images in a third; below, nearly all have one value
THIRDS = ("lower third", "middle third", "upper third")


def divide(frame: pd.DataFrame, *, most: int) -> dict[str, pd.Series[str]]:
    """The slice of each image by dimension: a text column over ``frame``'s rows, NA where unknown.

    ``frame`` has ``brightness, width, height, group, fate`` and metadata columns ``meta_<name>``. Dimensions with one
    slice or more than ``most`` are left out; numbers with many values are cut into thirds.
    """
    dimensions: dict[str, pd.Series[str]] = {
        "flagged": frame["fate"].eq("flagged").map({True: "flagged", False: "not flagged"}).astype("string"),
        "brightness": _thirds(frame["brightness"]),
        "size": _thirds(frame["width"].astype("float64") * frame["height"]),
        "group": frame["group"].astype("string").where(frame["group"].ne("")),
    }
    for column in sorted(name for name in frame.columns if name.startswith("meta_")):
        values = frame[column]
        numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
        if numeric and values.nunique() > most:
            dimensions[column.removeprefix("meta_")] = _thirds(values.astype("float64"))
        else:
            dimensions[column.removeprefix("meta_")] = values.astype("string")
    return {name: parts for name, parts in dimensions.items() if 2 <= parts.nunique() <= most}


def judge(
    judged: Judged, parts: dict[str, pd.Series[str]], *, replicates: int, seed: int
) -> dict[str, dict[str, dict[str, Any]]]:
    """``n`` and ``accuracy`` with its interval, by dimension and slice."""
    out: dict[str, dict[str, dict[str, Any]]] = {}
    for name, part in parts.items():
        out[name] = {}
        for value in sorted(part.dropna().unique()):
            keep: NDArray[np.bool_] = part.eq(value).fillna(False).to_numpy(dtype=bool)
            out[name][str(value)] = {
                "n": int(keep.sum()),
                "accuracy": assessment.accuracy(judged.rows(keep), replicates=replicates, seed=seed),
            }
    return out


def _thirds(values: pd.Series[float]) -> pd.Series[str]:
    """Thirds, cut at the terciles; all NA if ties leave a third nearly empty."""
    first, second = (
        np.nanquantile(values.to_numpy(dtype=np.float64), [1 / 3, 2 / 3]) if values.notna().any() else (0, 0)
    )
    third = (values > first).astype("int64") + (values > second).astype("int64")
    even = np.bincount(third[values.notna()], minlength=3).min() >= values.notna().sum() * LEAST_THIRD
    return third.map(dict(enumerate(THIRDS))).astype("string").where(values.notna() & even)
