"""Out-of-fold predictions of ``hallmark crossval``, as evidence for label errors.

A network trained on the task detects label errors better than a classifier on general features, and none of these
networks was trained on the image it predicts.
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
    """Probabilities ``[images, classes]``, the mean over repeats; NaN for an image without predictions.

    ``images`` has path and cluster: the prediction of one copy serves for its cluster. ``columns`` are the probability
    columns of the classes. Raises InputError for another table, other classes, or none of these images.
    """
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise InputError(f"{path} cannot be read: {error}", remedy=REMEDY, field="out_of_fold") from error
    lacking = [name for name in ("path", *columns) if name not in table]
    if "path" in lacking or len(lacking) == len(columns):
        raise InputError(f"{path} has no column {', '.join(lacking[:3])}", remedy=REMEDY, field="out_of_fold")
    others = sorted(set(table.columns) - {*PREDICTION, *columns})
    if others or lacking:
        what = f"the classes {', '.join(others)}, which no image has" if others else f"no class {', '.join(lacking)}"
        raise InputError(f"{path} has {what}", remedy=REMEDY, field="out_of_fold")
    judged = table.groupby("path")[list(columns)].mean()
    cluster = images.set_index("path")["cluster"]
    judged = judged[judged.index.isin(cluster.index)]
    if judged.empty:
        raise InputError(f"{path} has none of the images", remedy=REMEDY, field="out_of_fold")
    by_cluster = judged.groupby(cluster.reindex(judged.index).to_numpy(object)).mean()
    probabilities = by_cluster.reindex(images["cluster"].to_numpy(object))
    return np.asarray(probabilities.to_numpy(np.float64))
