"""Fixed rules that turn each image's measurements into reasons.

Rules of size use the image alone. Rules of light, focus and noise require both a value past a fixed limit and an
outlier in the set: ``spread`` robust standard deviations (1.4826 times the median absolute deviation) from the median.
So neither a set that is dark throughout, like X-rays, nor the darkest of a hundred good photos is flagged.

Sharpness depends on size and subject, so the limit of focus is the fixed one or a share of the set's median, whichever
is higher. An image of almost no contrast that consists of noise counts as blank.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hallmark.statistics.robust import centre

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

# lower bound of a set's robust deviation: one of 256 greys, or 0.1 in the logarithm
LEAST_DEVIATION = 1 / 255
# contrast, sharpness and darkness vary by factors and are compared on a log scale
LEAST_DEVIATION_OF_LOG = 0.1
LEAST_VALUE_OF_LOG = 1e-6
# the sharpness of white noise is 20; above half of it an image is noise only
NOTHING_BUT_NOISE = 10.0
# in fewer pixels, texture and noise cannot be told apart
NOISE_LEAST_SIDE = 16


def flag(
    measured: pd.DataFrame,
    *,
    min_side: int,
    max_side: int,
    max_aspect: float,
    blank_contrast: float,
    low_contrast: float,
    dark_highlight: float,
    bright_shadow: float,
    blurry_sharpness: float,
    blurry_share: float,
    noisy_noise: float,
    spread: float,
) -> dict[str, NDArray[np.bool_]]:
    """Which rows each reason applies to: {reason: bool [rows]}; rows that did not decode get none.

    ``measured`` has the columns of :class:`hallmark.quality.measurement.Measured`. ``dark_highlight`` is the limit of
    brightness + 2 * contrast (what nearly all pixels stay below), ``bright_shadow`` that of brightness - 2 * contrast.
    """
    image = (measured["width"] > 0).to_numpy()
    short = measured[["width", "height"]].min(axis=1).to_numpy(np.float64)
    long = measured[["width", "height"]].max(axis=1).to_numpy(np.float64)
    brightness, contrast, sharpness, noise = (
        measured[name].to_numpy(np.float64) for name in ("brightness", "contrast", "sharpness", "noise")
    )
    empty = (contrast <= low_contrast / 2) & (sharpness >= NOTHING_BUT_NOISE)
    blank = image & ((contrast <= blank_contrast) | empty)
    too_small = image & (short < min_side)
    # light, focus and noise are meaningless for blank or tiny images
    telling = image & ~blank & ~too_small
    usual = float(np.median(sharpness[telling])) if telling.any() else 0.0
    soft = max(blurry_sharpness, blurry_share * usual)
    highlight, shadow = brightness + 2 * contrast, brightness - 2 * contrast
    return {
        "too_small": too_small,
        "too_large": image & (long > max_side),
        "extreme_aspect": image & (long > max_aspect * np.maximum(short, 1)),
        "multi_frame": image & (measured["frames"] > 1).to_numpy(),
        "blank": blank,
        "too_dark": telling & (highlight < dark_highlight) & (standing(highlight, telling, log=True) < -spread),
        "too_bright": telling & (shadow > bright_shadow) & (standing(shadow, telling) > spread),
        "low_contrast": telling & (contrast < low_contrast) & (standing(contrast, telling, log=True) < -spread),
        "blurry": telling & (sharpness < soft) & (standing(sharpness, telling, log=True) < -spread),
        "noisy": telling & (short >= NOISE_LEAST_SIDE) & (noise > noisy_noise) & (standing(noise, telling) > spread),
    }


def standing(values: NDArray[np.float64], telling: NDArray[np.bool_], *, log: bool = False) -> NDArray[np.float64]:
    """Robust z-score of each value, or its logarithm, relative to the ``telling`` rows; 0 for NaN."""
    if not telling.any():
        return np.zeros(len(values))
    numbers = np.log(np.maximum(values, LEAST_VALUE_OF_LOG)) if log else values
    middle, deviation = centre(numbers[telling])
    return np.nan_to_num((numbers - middle) / max(deviation, LEAST_DEVIATION_OF_LOG if log else LEAST_DEVIATION))
