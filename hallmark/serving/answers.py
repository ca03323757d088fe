"""What is said of one image: its class, one probability per class, and the same probabilities calibrated.

``probabilities`` are the network's, those that the evaluation judged. ``calibrated`` are the same with the temperature
that was fitted on the validation images (Guo et al. 2017): of the images with a calibrated probability of 0.8, about
8 in 10 are of that class. The most probable class is the same.

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
    """``label``, ``probabilities`` and ``calibrated`` (by class; None without a temperature) of probabilities [k]."""
    scaled = None if temperature is None else calibrated(probabilities, temperature)
    return {
        "label": classes[int(probabilities.argmax())],
        "probabilities": _by_class(classes, probabilities),
        "calibrated": None if scaled is None else _by_class(classes, scaled),
    }


def calibrated(probabilities: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """The softmax [k] of the logits over the temperature, from the softmax [k] of the logits."""
    with np.errstate(divide="ignore"):  # a probability of 0 stays 0
        logits = np.log(probabilities) / temperature
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum(), dtype=np.float64)


def _by_class(classes: Sequence[str], values: NDArray[np.float64]) -> dict[str, float]:
    return {name: float(value) for name, value in zip(classes, values, strict=True)}
