"""Softmax and temperature scaling: the one scale that calibrates scores to labels.

>>> import numpy as np
>>> rescaled(np.array([0.9, 0.1]), 2.0).round(3).tolist()
[0.75, 0.25]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def softmax(logits: Floats, temperature: float = 1.0) -> Floats:
    """Probabilities [..., classes] of the logits divided by the temperature."""
    from scipy import special  # the import takes half a second, which a server's start avoids

    return np.asarray(special.softmax(logits / temperature, axis=-1), dtype=np.float64)


def rescaled(probabilities: Floats, temperature: float) -> Floats:
    """:func:`softmax` at a temperature, [..., classes], computed from the probabilities at temperature 1."""
    with np.errstate(divide="ignore"):  # a probability of 0 stays 0
        return softmax(np.log(probabilities), temperature)


def fit(
    scores: Floats, labels: NDArray[np.integer[Any]], *, bounds: tuple[float, float], divide: bool, capped: bool
) -> tuple[float, float]:
    """The scale of scores [n, classes] with the least mean log loss (Guo et al. 2017), and that loss.

    ``bounds`` limit the scale's logarithm. With ``divide`` the scale divides the scores (a temperature), else it
    multiplies them. The search is accurate to about five digits, so the two are inverses only to that precision. The
    loss of an image is capped at 36 nats (float64's epsilon) with ``capped``. With a cap, confident mistakes cost no
    more at a larger factor, so the search can end at the upper bound.
    """
    from scipy import optimize

    from hallmark.statistics.metrics import log_losses

    def loss(logarithm: float) -> float:
        scale = float(np.exp(logarithm))
        scaled = scores / scale if divide else scores * scale
        if capped:
            return float(log_losses(labels, softmax(scaled)).mean())
        top = scaled.max(axis=1)
        return float((np.log(np.exp(scaled - top[:, None]).sum(axis=1)) + top - scaled[rows, labels]).mean())

    rows = np.arange(len(labels))
    best = optimize.minimize_scalar(loss, bounds=bounds, method="bounded")
    return float(np.exp(best.x)), float(best.fun)
