"""Cross-validation folds of the training and validation images; groups and duplicate clusters stay whole.

Test images are in no fold. A fold's held-out images influence neither training nor selection: the epoch is chosen on
validation images split off from the rest. Assignment after scikit-learn's stratified grouped k-fold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hallmark.contracts.errors import InputError
from hallmark.contracts.seeds import derive
from hallmark.splitting import folds as folding
from hallmark.splitting.units import find_units

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Fold:
    """``table`` is SPLIT's table with this fold's splits: held-out images are ``test``, like the real test images.

    ``held_out`` are the held-out paths; ``n_train`` counts the training images. Numbers start at 1.
    """

    repeat: int
    number: int
    table: pd.DataFrame
    held_out: tuple[str, ...]
    n_train: int

    @property
    def name(self) -> str:
        """``<repeat>-<number>``."""
        return f"{self.repeat}-{self.number}"


def divide(
    split: pd.DataFrame, *, folds: int, repeats: int, stratified: bool, val: float, seed: int
) -> tuple[list[Fold], list[str]]:
    """All folds of all repeats, and warnings. ``split`` is SPLIT's table, ``val`` the validation share of the rest.

    Raises InputError if there are fewer units (groups, clusters) than folds.
    """
    pool = split[split["split"].isin(["train", "val"])].reset_index(drop=True)
    unit, _ = find_units(cluster=pool["cluster"], group=pool["group"], content=pool["path"], seed=seed)
    labels = pool["label"].to_numpy(dtype=object)
    units = len(np.unique(unit))
    if units < folds:
        raise InputError(
            f"--folds is {folds}, but train and val hold only {units} units (groups and duplicate clusters stay whole)",
            remedy=f"give at most {units}",
        )
    notes = []
    per_class = pool.assign(unit=unit).groupby("label")["unit"].nunique()
    few = per_class[per_class < folds]
    if stratified and len(few):
        notes.append(f"fewer units than folds, so some folds hold out none of: {', '.join(map(str, few.index))}")
    all_folds = []
    for repeat in range(repeats):
        number = _assign(labels, unit, folds, stratified=stratified, seed=derive(seed, "crossval", repeat))
        for fold in range(folds):
            held = number == fold
            rest = np.flatnonzero(~held)
            inner = np.zeros(len(pool), bool)
            if val > 0:
                parts = max(2, round(1 / val))
                if len(np.unique(unit[rest])) < parts:
                    raise InputError(
                        f"there are too few images for {folds} folds and a validation share of {val:g}",
                        remedy="give fewer --folds or more images",
                    )
                carved = _assign(
                    labels[rest], unit[rest], parts, stratified=stratified, seed=derive(seed, "crossval", repeat, fold)
                )
                inner[rest[carved == 0]] = True
            splits = np.select([held, inner], ["test", "val"], "train")
            table = split.set_index("path")
            table.loc[pool["path"].tolist(), "split"] = splits.tolist()
            all_folds.append(
                Fold(
                    repeat=repeat + 1,
                    number=fold + 1,
                    table=table.reset_index(),
                    held_out=tuple(pool["path"][held].astype(str)),
                    n_train=int((splits == "train").sum()),
                )
            )
    return all_folds, notes


def _assign(
    labels: NDArray[Any], unit: NDArray[np.int64], folds: int, *, stratified: bool, seed: int
) -> NDArray[np.int64]:
    """The fold of each image, [n]; images of a unit share a fold."""
    try:
        return folding.assign(labels, unit, folds, stratified=stratified, seed=seed)
    except ValueError as error:
        raise InputError(f"--folds is {folds}: {error}", remedy="give fewer --folds or more images") from error
