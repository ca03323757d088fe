"""The answer for one image: its class, one probability per class, and the calibrated probabilities.

``probabilities`` are the network's own, which the evaluation judges. ``calibrated`` applies the temperature fitted on
the validation images (Guo et al. 2017): of the images with a calibrated probability of 0.8, about 8 in 10 belong to
that class. Both have the same most probable class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hallmark.statistics.temperature import rescaled

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


def answer(probabilities: NDArray[np.float64], classes: Sequence[str], temperature: float | None) -> dict[str, Any]:
    """``label``, ``probabilities`` and ``calibrated`` (None without a temperature) for probabilities [k]."""
    scaled = None if temperature is None else rescaled(probabilities, temperature)
    return {
        "label": classes[int(probabilities.argmax())],
        "probabilities": _by_class(classes, probabilities),
        "calibrated": None if scaled is None else _by_class(classes, scaled),
    }


def _by_class(classes: Sequence[str], values: NDArray[np.float64]) -> dict[str, float]:
    return {name: float(value) for name, value in zip(classes, values, strict=True)}
