"""Fashion-MNIST as the output folders of the stages before train."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from benchmarks import idx
from hallmark.contracts.tables import DECISIONS, MANIFEST, SPLIT, SYNTHETIC, write_table
from hallmark.images import shards
from hallmark.sampling import plan as planning

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def chosen(folder: Path, images: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """``images`` training images, always the first ones of a fixed shuffle."""
    pixels, labels = idx.read(folder, "train")
    order = np.random.default_rng(0).permutation(len(labels))[:images]
    return pixels[order], labels[order]


def stages(root: Path, folder: Path, *, images: int, transforms: list[dict[str, Any]]) -> dict[str, Path]:
    """The folders that train reads, with ``images`` training images and the test images as validation images.

    With train.keep: last they choose no weights; they are only judged after each epoch.
    """
    pixels, labels = chosen(folder, images)
    test_pixels, test_labels = idx.read(folder, "t10k")
    everything, classes = np.concatenate([pixels, test_pixels]), np.concatenate([labels, test_labels])
    folders = {name: root / name for name in ("ingest", "split", "clean", "balance", "augment", "synthesize")}
    for each in folders.values():
        each.mkdir(parents=True)
    encoded = [
        (f"{label}/{number:05d}.png", idx.png(image))
        for number, (image, label) in enumerate(zip(everything, classes, strict=True))
    ]
    places = shards.write(folders["ingest"], encoded)
    frame = pd.DataFrame({"path": [path for path, _ in encoded], "label": classes.astype(str)})
    split = np.where(np.arange(len(frame)) < len(labels), "train", "val")
    manifest = frame.assign(
        label_found=frame["label"],
        group=None,
        given_split=None,
        size=[len(data) for _, data in encoded],
        reasons="",
        sha256=[hashlib.sha256(data).hexdigest() for _, data in encoded],
        shard=[place.shard for place in places],
        row=[place.row for place in places],
    )
    divided = frame.assign(
        group=None, split=split, cluster=frame["path"], cluster_size=1, representative=True, reasons=""
    )
    decisions = frame.assign(
        found_label=frame["label"],
        split=split,
        fate="kept",
        stage="",
        reasons="",
        weight=1.0,
        outlier_score=0.0,
        label_quality=1.0,
        suggested_label=None,
    )
    for table, schema, name in (
        (manifest, MANIFEST, "ingest/manifest"),
        (divided, SPLIT, "split/split"),
        (decisions, DECISIONS, "clean/decisions"),
    ):
        ordered = table.sort_values("path", ignore_index=True)
        write_table(ordered, schema, root / f"{name}.parquet")
    planning.make(
        decisions[decisions["split"] == "train"][["path", "label", "weight"]].sort_values("path", ignore_index=True),
        strategy="none",
        scheme="effective_number",
        beta=0.999,
        max_repeats=10,
        min_images=5,
        repeat_threshold=None,
        sampler_power=1.0,
        adjustment_tau=1.0,
        focal_gamma=2.0,
        auto_mild=2.0,
        auto_severe=20.0,
        seed=0,
    ).write(folders["balance"])
    (folders["augment"] / "policy.json").write_text(json.dumps({"transforms": transforms}))
    shards.write(folders["synthesize"], [])
    empty = pd.DataFrame({name: [] for name in ("path", "label", "origin")}, dtype=str).assign(
        shard=0, row=0, nearest_distance=0.0, agreement=0.0
    )
    write_table(empty, SYNTHETIC, folders["synthesize"] / "manifest.parquet")
    return folders
