"""Missing values in metadata columns and groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import NDArray

POLICIES = ("quarantine", "impute", "keep")
UNKNOWN = "unknown"
PREFIX = "meta_"


def incomplete(manifest: pd.DataFrame) -> NDArray[np.bool_]:
    """Rows without a group or metadata value that other rows have: bool [rows]."""
    columns = [name for name in manifest.columns if name == "group" or name.startswith(PREFIX)]
    filled_columns = [name for name in columns if manifest[name].notna().any()]
    return manifest[filled_columns].isna().any(axis=1).to_numpy() if filled_columns else np.zeros(len(manifest), bool)


def filled(manifest: pd.DataFrame, policy: str) -> pd.DataFrame:
    """The metadata columns with missing values treated: [rows, columns], in the manifest's order.

    ``impute`` uses the median of numbers and the most frequent word (ties alphabetically); the other policies write
    ``unknown`` for a missing word and keep missing numbers. Groups are never imputed: that would link unrelated images.
    """
    columns = {name: manifest[name] for name in manifest.columns if name.startswith(PREFIX)}
    return pd.DataFrame({name: _filled(column, policy) for name, column in columns.items()}, index=manifest.index)


def _filled(column: pd.Series, policy: str) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        return column.fillna(column.median()) if policy == "impute" and column.notna().any() else column
    words = column.astype("string")
    frequent = words.mode()
    return words.fillna(frequent.iloc[0] if policy == "impute" and len(frequent) else UNKNOWN)
