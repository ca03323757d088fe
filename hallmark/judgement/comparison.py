"""What a network is held against: baselines on the test images, and a learning curve on the validation images.

Both see thumbnails of so few images and pixels that it takes seconds, whatever the size of the set: of more, an evenly
drawn part of each class is taken, and the numbers of images in the result say so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hallmark.contracts import runtime
from hallmark.contracts.seeds import derive
from hallmark.judgement import baselines, growth, linear
from hallmark.judgement.judged import Judged
from hallmark.quality import embedding, thumbnails

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from hallmark.judgement.objective import Objective

MOST = {"train": 6_000, "val": 3_000, "test": 10_000}  # images
PIXELS = {"train": 2_000_000_000, "val": 700_000_000, "test": 1_300_000_000}  # to decode


def compare(
    images: pd.DataFrame,
    judged: Judged,
    folder: Path,
    *,
    objective: Objective,
    weakest: Sequence[str],
    replicates: int,
    seed: int,
) -> dict[str, Any]:
    """``baselines`` and ``learning_curve`` of the evaluation's report.

    Args:
        images: ``path label split cluster shard row width height`` of all images that were not removed.
        judged: What the network answered of the test images, in the order of ``images``.
        folder: Where the shards lie.
        objective: What is judged.
        weakest: The classes, those with the most to gain first.
        replicates: Resamples behind each interval of a baseline.
        seed: For which images are taken, and for the resamples.
    """
    place = {name: index for index, name in enumerate(judged.classes)}
    draw = {"replicates": replicates, "seed": seed}
    test = np.flatnonzero((images["split"] == "test").to_numpy())
    train = images[(images["split"] == "train") & images["label"].isin(judged.classes)]
    val = images[(images["split"] == "val") & images["label"].isin(judged.classes)]
    label = np.asarray(train["label"].map(place), dtype=np.int64)
    if not len(train):
        return {"baselines": {"largest_class": None, "linear": None}, "learning_curve": None}
    found: dict[str, Any] = {"largest_class": baselines.largest_class(objective, judged, label, **draw)}
    if len(np.unique(label)) < 2:
        return {"baselines": {**found, "linear": None}, "learning_curve": None}
    of_train, of_val, of_test = (
        taken(frame, name, seed=seed) for frame, name in ((train, "train"), (val, "val"), (images.iloc[test], "test"))
    )
    some = judged.rows(of_test)
    small = [
        _thumbnails(folder, frame.iloc[rows])
        for frame, rows in ((train, of_train), (val, of_val), (images.iloc[test], of_test))
    ]
    seen, seen_val, seen_test = linear.features(*small)
    found["linear"] = baselines.linear(objective, some, seen, label[of_train], seen_test, **draw)
    held_out = val.iloc[of_val]
    curve = growth.curves(
        objective,
        seen,
        label[of_train],
        seen_val,
        Judged.of(held_out, np.zeros((len(held_out), len(judged.classes))), judged.classes),
        weakest=weakest,
        seed=seed,
    )
    return {"baselines": found, "learning_curve": curve}


def taken(images: pd.DataFrame, split: str, *, seed: int) -> NDArray[np.int64]:
    """Rows of the images that are looked at, ascending: all, or an even part of each class."""
    n = len(images)
    pixels = float(images["width"].astype(float).mul(images["height"]).sum())
    share = min(1.0, MOST[split] / max(n, 1), PIXELS[split] / max(pixels, 1.0))
    if share == 1.0:
        return np.arange(n)
    order = np.random.default_rng(derive(seed, "comparison", split)).permutation(n)
    names = images["label"].to_numpy(object)[order]
    kept = [order[names == name] for name in sorted(set(names))]
    return np.sort(np.concatenate([rows[: int(np.ceil(share * len(rows)))] for rows in kept]))


def _thumbnails(folder: Path, images: pd.DataFrame) -> NDArray[np.uint8]:
    places = images[["shard", "row"]].to_numpy(np.int64)
    return thumbnails.load(folder, places, side=embedding.SIDE, workers=runtime.workers())
