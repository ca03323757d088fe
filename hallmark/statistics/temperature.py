"""How sure probabilities are: the softmax of scores, and the one scale that brings it to the labels.

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
    """Probabilities [..., classes] of the logits over the temperature."""
    from scipy import special  # takes half a second: a server starts without it

    return np.asarray(special.softmax(logits / temperature, axis=-1), dtype=np.float64)


def rescaled(probabilities: Floats, temperature: float) -> Floats:
    """The softmax [..., classes] of the logits over the temperature, from the softmax of the logits."""
    with np.errstate(divide="ignore"):  # a probability of 0 stays 0
        return softmax(np.log(probabilities), temperature)


def fit(
    scores: Floats, labels: NDArray[np.integer[Any]], *, bounds: tuple[float, float], divide: bool
) -> tuple[float, float]:
    """The scale of scores [n, classes] with the least mean log loss (Guo et al. 2017), and that loss.

    ``bounds`` are those of its logarithm. With ``divide`` it is a temperature, which divides the scores; else a factor.
    Either is found to about five digits, and one is the other's inverse only to those.
    """
    from scipy import optimize

    from hallmark.statistics.metrics import log_losses

    def loss(logarithm: float) -> float:
        scale = float(np.exp(logarithm))
        return float(log_losses(labels, softmax(scores / scale if divide else scores * scale)).mean())

    best = optimize.minimize_scalar(loss, bounds=bounds, method="bounded")
    return float(np.exp(best.x)), float(best.fun)
