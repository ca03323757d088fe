"""What the networks of a cross-validation say of each image (``hallmark crossval``), for labels to be held against.

A network that has learnt this very task tells a wrong label better than a classifier on general features, and none of
these has seen the image that it judges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hallmark.contracts.errors import InputError
from hallmark.contracts.names import PREDICTION

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

REMEDY = "give the out_of_fold.parquet of `hallmark crossval` on these images, or data/none"


def read_predictions(path: Path, *, images: pd.DataFrame, columns: Sequence[str]) -> Floats:
    """Probabilities ``[images, classes]``, the mean over repeats; NaN for an image that was not judged.

    ``images`` has path and cluster: of copies one was judged, which stands for all. ``columns`` are the names under
    which the classes' probabilities stand. Raises InputError for another table, other classes, or none of these images.
    """
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise InputError(f"clean.out_of_fold: {path} cannot be read: {error}", remedy=REMEDY) from error
    lacking = [name for name in ("path", *columns) if name not in table]
    if "path" in lacking or len(lacking) == len(columns):
        raise InputError(f"clean.out_of_fold: {path} has no column {', '.join(lacking[:3])}", remedy=REMEDY)
    others = sorted(set(table.columns) - {*PREDICTION, *columns})
    if others or lacking:
        what = f"the classes {', '.join(others)}, which no image has" if others else f"no class {', '.join(lacking)}"
        raise InputError(f"clean.out_of_fold: {path} knows {what}", remedy=REMEDY)
    judged = table.groupby("path")[list(columns)].mean()
    cluster = images.set_index("path")["cluster"]
    judged = judged[judged.index.isin(cluster.index)]
    if judged.empty:
        raise InputError(f"clean.out_of_fold: {path} knows none of the images", remedy=REMEDY)
    by_cluster = judged.groupby(cluster.reindex(judged.index).to_numpy(object)).mean()
    found = by_cluster.reindex(images["cluster"].to_numpy(object))
    return np.asarray(found.to_numpy(np.float64))
