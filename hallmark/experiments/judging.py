"""Scores a trained network on an experiment's judged images, never on the test set."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from hallmark.contracts.errors import InputError
from hallmark.contracts.tables import one_of_each_cluster
from hallmark.judgement import assessment, prediction, publication
from hallmark.judgement.judged import Judged
from hallmark.judgement.objective import Objective, score
from hallmark.learning import pixels
from hallmark.learning.pixels import Item
from hallmark.models import weights
from hallmark.sampling import partitions
from hallmark.statistics import metrics
from hallmark.statistics.temperature import softmax

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd


PREDICTIONS = "predictions.parquet"
BATCH = 256
WARM_UP, REPEATS = 5, 30


@dataclass(frozen=True, kw_only=True, eq=False)
class Judgement:
    """``table`` has path, label, predicted and a probability per class; ``recall`` None for a class without images."""

    objective: float
    recall: dict[str, float | None]
    metrics: dict[str, float | None]
    table: pd.DataFrame


def judge(folder: Path, *, judged: Sequence[str] | None, objective: Objective) -> Judgement:
    """Scores the model in ``folder``/data/train on the images of ``judged``, or on the validation images.

    Counts one image per duplicate cluster and no removed image. Raises InputError if no image is left.
    """
    data = folder / "data"
    images = _images(data, judged)
    model = weights.describe(data / "train")
    shape = {name: int(model["input"][name]) for name in ("height", "width", "channels")}
    bits = int(model["input"].get("bits", 16))
    locations = zip(images["path"], images["shard"], images["row"], images["sha256"], strict=True)
    items = [Item(data / "ingest", int(shard), int(row), str(sha), str(path)) for path, shard, row, sha in locations]
    cache = folder / ".hallmark" / "cache" / "pixels"
    array = pixels.opened(pixels.prepared(items, **shape, bits=bits, cache=cache))
    chunks = (np.array(array[start : start + BATCH]) for start in range(0, len(array), BATCH))
    (logits,) = prediction.predict(weights.load(data / "train"), chunks)
    predictions = Judged.of(images, softmax(logits), tuple(model["classes"]))
    return Judgement(
        objective=score(objective, predictions.labels, predictions.probabilities, predictions.classes),
        recall=recalls(predictions),
        metrics=assessment.points(predictions),
        table=publication.prediction_table(images, predictions),
    )


def recalls(predictions: Judged) -> dict[str, float | None]:
    """The recall of each class, None for one without images."""
    counts = metrics.Counts.of(predictions.labels, predictions.predicted, len(predictions.classes))
    return {
        name: float(value) if np.isfinite(value) else None
        for name, value in zip(predictions.classes, counts.recall(), strict=True)
    }


def latency_ms(folder: Path) -> float:
    """Median milliseconds per image of the network in ``folder``, on one CPU thread."""
    model = weights.describe(folder / "data" / "train")["input"]
    network = weights.load(folder / "data" / "train")
    image = torch.zeros(1, model["channels"], model["height"], model["width"])
    before, spent = torch.get_num_threads(), []
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            for number in range(WARM_UP + REPEATS):
                started = time.perf_counter()
                network(image)
                if number >= WARM_UP:
                    spent.append(time.perf_counter() - started)
    finally:
        torch.set_num_threads(before)
    return round(1000 * float(np.median(spent)), 4)


def _images(data: Path, judged: Sequence[str] | None) -> pd.DataFrame:
    table = partitions.remaining(ingest=data / "ingest", split=data / "split", clean=data / "clean")
    selected = table["split"] == "val" if judged is None else table["path"].isin(set(judged))
    images = one_of_each_cluster(table[selected]).reset_index(drop=True)
    if images.empty:
        raise InputError(
            "there are no validation images to judge by", remedy="raise split.val, or give the source more images"
        )
    return images
