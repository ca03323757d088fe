"""A small source in the state after ingest and validate, created in process."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from PIL import Image

from hallmark.contracts.tables import MANIFEST, MEASUREMENTS, write_table
from hallmark.images import shards
from hallmark.quality.measurement import measure

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def encoded(pixels: NDArray[np.uint8], form: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


def picture(seed: int, side: int = 64) -> NDArray[np.uint8]:
    """A colour picture per seed, with more large shapes than details, like a photograph."""
    random = np.random.default_rng(seed)
    layers = [random.integers(0, 256, (cells, cells, 3), dtype=np.uint8) for cells in (3, 5, 12)]
    large = [np.asarray(Image.fromarray(x).resize((side, side), Image.Resampling.BICUBIC), np.float64) for x in layers]
    return (0.55 * large[0] + 0.3 * large[1] + 0.15 * large[2]).astype(np.uint8)


def write_source(root: Path, items: list[dict[str, Any]]) -> tuple[Path, Path]:
    """Folders ingest and validate for items of ``path label data`` and, if wanted, ``group given_split reasons
    quarantined``."""
    ingest, validate = root / "ingest", root / "validate"
    ingest.mkdir(parents=True)
    validate.mkdir()
    places = shards.write(ingest, [(item["path"], item["data"]) for item in items])
    manifest, measurements = [], []
    for item, position in zip(items, places, strict=True):
        manifest.append(
            {
                "path": item["path"],
                "label": item["label"],
                "label_found": item["label"],
                "group": item.get("group"),
                "given_split": item.get("given_split"),
                "size": len(item["data"]),
                "sha256": hashlib.sha256(item["data"]).hexdigest(),
                "shard": position.shard,
                "row": position.row,
                "reasons": item.get("ingest_reasons", ""),
            }
        )
        row = measure(item["data"], 10**8).row()
        failure = row.pop("failure")
        measurements.append(
            {
                **row,
                "path": item["path"],
                "reasons": item.get("reasons", failure),
                "quarantined": item.get("quarantined", bool(failure)),
            }
        )
    write_table(pd.DataFrame(manifest), MANIFEST, ingest / "manifest.parquet")
    write_table(pd.DataFrame(measurements), MEASUREMENTS, validate / "measurements.parquet")
    return ingest, validate
