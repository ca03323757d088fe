"""Baselines on the test images and a learning curve on the validation images, to compare a network with.

Both use thumbnails and take seconds for any size of set: beyond fixed limits of images and pixels, an equal share of
each class is sampled. The result reports the numbers of images.
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
    """``baselines`` and ``learning_curve`` of the evaluation report.

    Args:
        images: ``path label split cluster shard row width height`` of all images that were not removed.
        judged: The network's predictions on the test images, in the order of ``images``.
        folder: The folder of the shards.
        objective: The metric to compare.
        weakest: The classes, weakest first.
        replicates: Resamples for each baseline interval.
        seed: Seed of the samples and resamples.
    """
    index_of = {name: index for index, name in enumerate(judged.classes)}
    draw = {"replicates": replicates, "seed": seed}
    test = np.flatnonzero((images["split"] == "test").to_numpy())
    train = images[(images["split"] == "train") & images["label"].isin(judged.classes)]
    val = images[(images["split"] == "val") & images["label"].isin(judged.classes)]
    label = np.asarray(train["label"].map(index_of), dtype=np.int64)
    if not len(train):
        return {"baselines": {"largest_class": None, "linear": None}, "learning_curve": None}
    baseline: dict[str, Any] = {"largest_class": baselines.largest_class(objective, judged, label, **draw)}
    if len(np.unique(label)) < 2:
        return {"baselines": {**baseline, "linear": None}, "learning_curve": None}
    of_train, of_val, of_test = (
        sampled(frame, name, seed=seed) for frame, name in ((train, "train"), (val, "val"), (images.iloc[test], "test"))
    )
    test_judged = judged.rows(of_test)
    thumbnails_by_split = [
        _thumbnails(folder, frame.iloc[rows])
        for frame, rows in ((train, of_train), (val, of_val), (images.iloc[test], of_test))
    ]
    train_features, val_features, test_features = linear.features(*thumbnails_by_split)
    baseline["linear"] = baselines.linear(
        objective, test_judged, train_features, label[of_train], test_features, **draw
    )
    held_out = val.iloc[of_val]
    curve = growth.curves(
        objective,
        train_features,
        label[of_train],
        val_features,
        Judged.of(held_out, np.zeros((len(held_out), len(judged.classes))), judged.classes),
        weakest=weakest,
        seed=seed,
    )
    return {"baselines": baseline, "learning_curve": curve}


def sampled(images: pd.DataFrame, split: str, *, seed: int) -> NDArray[np.int64]:
    """Rows of the sampled images, ascending: all, or an equal share of each class."""
    n = len(images)
    pixels = float(images["width"].astype(float).mul(images["height"]).sum())
    share = min(1.0, MOST[split] / max(n, 1), PIXELS[split] / max(pixels, 1.0))
    if share == 1.0:
        return np.arange(n)
    order = np.random.default_rng(derive(seed, "comparison", split)).permutation(n)
    names = images["label"].to_numpy(object)[order]
    by_class = [order[names == name] for name in sorted(set(names))]
    return np.sort(np.concatenate([rows[: int(np.ceil(share * len(rows)))] for rows in by_class]))


def _thumbnails(folder: Path, images: pd.DataFrame) -> NDArray[np.uint8]:
    places = images[["shard", "row"]].to_numpy(np.int64)
    return thumbnails.load(folder, places, side=embedding.SIDE, workers=runtime.workers())
