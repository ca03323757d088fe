"""The folders that the stages before train leave, made from scikit-learn's digits."""

from __future__ import annotations

import hashlib
import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.datasets import load_digits

from hallmark.contracts.tables import DECISIONS, MANIFEST, SPLIT, SYNTHETIC, write_table
from hallmark.images import shards
from hallmark.sampling import plan as planning

if TYPE_CHECKING:
    from pathlib import Path

STAGES = ("ingest", "split", "clean", "balance", "augment", "synthesize")

SHIFT = {
    "name": "Affine",
    "p": 1.0,
    "arguments": {"translate_percent": [-0.1, 0.1], "rotate": [-10, 10], "scale": [0.9, 1.1]},
}


def png(pixels: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def make(
    root: Path,
    *,
    count: int = 300,
    classes: int = 10,
    strategy: str = "none",
    synthetic: int = 0,
    transforms: list[dict[str, Any]] | None = None,
    colour: bool = False,
    validation: bool = True,
) -> dict[str, Path]:
    """The stages' folders below ``root`` for the first ``count`` digits of ``classes`` classes, split 70/20/10.

    ``synthetic`` further digits of the class "0" are given as synthetic images.
    """
    folders = {name: root / "data" / name for name in STAGES}
    for folder in folders.values():
        folder.mkdir(parents=True)
    bunch = load_digits()
    chosen = np.flatnonzero(bunch.target < classes)
    pixels, labels = (bunch.images * 15).astype("uint8")[chosen], bunch.target[chosen]
    if colour:
        pixels = np.stack([pixels, 255 - pixels, pixels], axis=-1)
    encoded = {f"{labels[i]}/{i:04d}.png": png(pixels[i]) for i in range(count)}
    paths = sorted(encoded)
    places = shards.write(folders["ingest"], [(path, encoded[path]) for path in paths])
    split = np.random.default_rng(0).choice(["train", "val", "test"], size=count, p=[0.7, 0.2, 0.1])
    if not validation:
        split = np.where(split == "val", "test", split)
    frame = pd.DataFrame({"path": paths, "label": [path[0] for path in paths]})
    manifest = frame.assign(
        label_found=frame["label"], group=None, given_split=None, size=1, reasons="",
        sha256=[hashlib.sha256(encoded[path]).hexdigest() for path in paths],
        shard=[place.shard for place in places], row=[place.row for place in places],
    )  # fmt: skip
    write_table(manifest, MANIFEST, folders["ingest"] / "manifest.parquet")
    divided = frame.assign(
        group=None, split=split, cluster=frame["path"], cluster_size=1, representative=True, reasons=""
    )
    write_table(divided, SPLIT, folders["split"] / "split.parquet")
    decisions = frame.assign(
        found_label=frame["label"], split=split, fate="kept", stage="", reasons="", weight=1.0, outlier_score=0.0,
        label_quality=1.0, suggested_label=None,
    )  # fmt: skip
    write_table(decisions, DECISIONS, folders["clean"] / "decisions.parquet")
    planning.make(
        decisions[decisions["split"] == "train"][["path", "label", "weight"]],
        strategy=strategy, scheme="effective_number", beta=0.999, max_repeats=10, min_images=5, repeat_threshold=None,
        sampler_power=1.0, adjustment_tau=1.0, focal_gamma=2.0, auto_mild=2.0, auto_severe=20.0, seed=0,
    ).write(folders["balance"])  # fmt: skip
    policy = {"transforms": transforms or []}
    (folders["augment"] / "policy.json").write_text(json.dumps(policy))
    zeros = [pixels[i] for i in np.flatnonzero(labels == 0)[-synthetic:]] if synthetic else []
    made = [(f"synthetic/0/{number:05d}.png", png(image)) for number, image in enumerate(zeros)]
    lies = shards.write(folders["synthesize"], made)
    rows = pd.DataFrame(
        {
            "path": [path for path, _ in made],
            "label": ["0"] * len(made),
            "shard": [place.shard for place in lies],
            "row": [place.row for place in lies],
            "origin": ["test"] * len(made),
            "nearest_distance": [1.0] * len(made),
            "agreement": [1.0] * len(made),
        }
    )
    write_table(rows, SYNTHETIC, folders["synthesize"] / "manifest.parquet")
    return folders


def outputs(root: Path) -> dict[str, Path]:
    """Empty places for what train writes."""
    places = {"train": root / "data" / "train", "plots": root / "reports" / "plots" / "train"}
    for place in places.values():
        place.mkdir(parents=True)
    return places
