"""Folds for cross-validation: whole units, stratified by class (scikit-learn's stratified grouped k-fold)."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def assign(
    labels: NDArray[Any], unit: NDArray[np.int64], folds: int, *, stratified: bool = True, seed: int
) -> NDArray[np.int64]:
    """The fold of each image, [n]; images of a unit share a fold. Raises ValueError if there are too few units."""
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    kind: Any = StratifiedGroupKFold if stratified else GroupKFold
    splitter = kind(n_splits=folds, shuffle=True, random_state=seed % 2**32)
    number = np.zeros(len(labels), np.int64)
    with warnings.catch_warnings():
        # a class with fewer units than folds, which the caller reports
        warnings.filterwarnings("ignore", message="The least populated class in y has only")
        for index, (_, held) in enumerate(splitter.split(np.zeros(len(labels)), labels, groups=unit)):
            number[held] = index
    return number
