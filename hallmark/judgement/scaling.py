"""Temperature scaling of a model: fitted on validation images, evaluated on the test set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hallmark.judgement import calibration
from hallmark.judgement.judged import Judged
from hallmark.statistics import metrics
from hallmark.statistics.temperature import softmax

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

UNSCALED: dict[str, float | None] = {"temperature": None, "log_loss_scaled": None, "ece_scaled": None}


def scaled(
    val: pd.DataFrame,
    val_logits: NDArray[np.float64],
    test: pd.DataFrame,
    test_logits: NDArray[np.float64],
    classes: Sequence[str],
) -> dict[str, float | None]:
    """``temperature``, and ``log_loss_scaled`` and ``ece_scaled`` of the test set; None if it cannot be fitted.

    ``val`` and ``test`` have the columns ``label`` and ``cluster``; validation labels are among ``classes``. Logits are
    [n, classes].
    """
    labels = val["label"].map({name: index for index, name in enumerate(classes)}).to_numpy(dtype="int64")
    temperature = calibration.temperature(val_logits, labels)
    if temperature is None:
        return UNSCALED
    after = Judged.of(test, softmax(test_logits, temperature), tuple(classes))
    bins = metrics.bins_of(after.confidence)
    return {
        "temperature": temperature,
        "log_loss_scaled": float(metrics.log_losses(after.labels, after.probabilities).mean()),
        "ece_scaled": float(metrics.ece(after.confidence, after.right, bins)[0]),
    }
