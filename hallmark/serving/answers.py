"""The answer for one image: its class, one probability per class, and the calibrated probabilities.

``probabilities`` are the network's own, which the evaluation judges. ``calibrated`` applies the temperature fitted on
the validation images (Guo et al. 2017): of the images with a calibrated probability of 0.8, about 8 in 10 belong to
that class. Both have the same most probable class.

>>> import numpy as np
>>> calibrated(np.array([0.9, 0.1]), 2.0).round(3).tolist()
[0.75, 0.25]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def answer(probabilities: NDArray[np.float64], classes: Sequence[str], temperature: float | None) -> dict[str, Any]:
    """``label``, ``probabilities`` and ``calibrated`` (None without a temperature) for probabilities [k]."""
    scaled = None if temperature is None else calibrated(probabilities, temperature)
    return {
        "label": classes[int(probabilities.argmax())],
        "probabilities": _by_class(classes, probabilities),
        "calibrated": None if scaled is None else _by_class(classes, scaled),
    }


def calibrated(probabilities: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """softmax(logits / temperature) [k], from softmax(logits) [k]."""
    with np.errstate(divide="ignore"):  # a probability of 0 stays 0
        logits = np.log(probabilities) / temperature
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum(), dtype=np.float64)


def _by_class(classes: Sequence[str], values: NDArray[np.float64]) -> dict[str, float]:
    return {name: float(value) for name, value in zip(classes, values, strict=True)}
