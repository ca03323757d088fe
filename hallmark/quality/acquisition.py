"""Advice on image acquisition: which variance between the images is avoidable.

A classifier has to learn to ignore differences unrelated to the classes, and is misled by differences that correlate
with them: a class recorded in other light, at another size or with another camera is recognisable by that alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

# limits above which advice is given; the shares are those of variance or entropy that the class explains
LIGHT_DEVIATION = 0.12
LIGHT_BY_CLASS = 0.5
RESOLUTION_RATIO = 2.0
FRAMING_RATIO = 1.3
SHARPNESS_RATIO = 30.0
CAMERA_BY_CLASS = 0.5


def advice(images: pd.DataFrame) -> list[dict[str, Any]]:
    """Findings and advice on lighting, framing, resolution, focus and camera, one entry each.

    ``images`` are the usable images: ``label`` and the columns of :class:`hallmark.quality.measurement.Measured`. An
    entry has ``topic``, ``even`` (nothing to do), ``words``, and the ``measures`` behind them.
    """
    if images.empty:
        return []
    return [_lighting(images), _framing(images), _resolution(images), _focus(images), _camera(images)]


def _entry(topic: str, words: list[str], good: str, **measures: float) -> dict[str, Any]:
    rounded = {name: round(float(value), 4) for name, value in measures.items()}
    return {"topic": topic, "even": not words, "words": " ".join(words) or good, "measures": rounded}


def _lighting(images: pd.DataFrame) -> dict[str, Any]:
    deviation = float(images["brightness"].std(ddof=0))
    share = explained(images["brightness"], images["label"])
    words = []
    if deviation > LIGHT_DEVIATION:
        words.append(f"Brightness varies by {deviation:.2f} (of 0 to 1) from image to image: fix exposure and light.")
    if share > LIGHT_BY_CLASS:
        middle = images.groupby("label")["brightness"].median().sort_index()
        words.append(
            f"The class explains {share:.0%} of the brightness ('{middle.idxmin()}' is darkest, '{middle.idxmax()}' "
            "brightest): unless the subjects themselves differ, record all classes in the same light."
        )
    return _entry("lighting", words, "The light is even.", deviation=deviation, explained_by_class=share)


def _framing(images: pd.DataFrame) -> dict[str, Any]:
    ratio = _ratio(images["width"] / images["height"])
    words = []
    if ratio > FRAMING_RATIO:
        words.append(f"The shape of the frame varies {ratio:.1f}-fold: use the same crop or framing for every subject.")
    return _entry("framing", words, "The framing is even.", ratio=ratio)


def _resolution(images: pd.DataFrame) -> dict[str, Any]:
    side = (images["width"].astype("float64") * images["height"]) ** 0.5
    ratio = _ratio(side)
    words = []
    if ratio > RESOLUTION_RATIO:
        words.append(f"The side of an image varies {ratio:.1f}-fold: record at one resolution and distance.")
    return _entry("resolution", words, "The resolution is even.", ratio=ratio, median_side=float(side.median()))


def _focus(images: pd.DataFrame) -> dict[str, Any]:
    ratio = _ratio(images["sharpness"].clip(lower=1e-6))
    words = []
    if ratio > SHARPNESS_RATIO:
        words.append(
            f"Sharpness varies {ratio:.0f}-fold: check focus, shutter speed and how hard files are compressed."
        )
    return _entry("focus", words, "The focus is even.", ratio=ratio)


def _camera(images: pd.DataFrame) -> dict[str, Any]:
    source = images["format"] + " " + images["width"].astype(str) + "x" + images["height"].astype(str)
    share = explained_by_source(images["label"], source)
    words = []
    if share > CAMERA_BY_CLASS:
        words.append(
            f"File format and size alone determine {share:.0%} of the class information: there seems to be one camera "
            "or source per class. Record every class with every camera."
        )
    return _entry("camera", words, "The camera does not depend on the class.", explained_by_source=share)


def _ratio(values: pd.Series) -> float:
    """The 95th percentile over the 5th."""
    low, high = np.quantile(values.to_numpy(np.float64), [0.05, 0.95])
    return float(high / max(low, 1e-12))


def explained(values: pd.Series, labels: pd.Series) -> float:
    """The between-class share of the variance of ``values`` (eta squared), in [0, 1]."""
    total = float(values.var(ddof=0))
    if total <= 0:
        return 0.0
    means = values.groupby(labels).transform("mean")
    return float(means.var(ddof=0)) / total


def explained_by_source(labels: pd.Series, source: pd.Series) -> float:
    """The share of the labels' entropy that the source removes (Theil's uncertainty coefficient), in [0, 1].

    Sources with a single image do not generalise, so they count as one source.
    """
    common = source.where(source.map(source.value_counts()) > 1, "")
    joint = pd.crosstab(labels.astype(str), common).to_numpy(np.float64)
    joint = joint / joint.sum()
    whole, by_source = joint.sum(axis=1), joint.sum(axis=0)
    entropy = -float(np.sum(whole * np.log(whole)))
    if entropy <= 0:
        return 0.0
    inside = joint > 0
    expected = np.outer(whole, by_source)
    return max(0.0, float(np.sum(joint[inside] * np.log(joint[inside] / expected[inside])))) / entropy
