"""The sample of images for the audit and the preview, and their pixels in one common shape."""

from __future__ import annotations

import functools
import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from hallmark.contracts import runtime
from hallmark.contracts.seeds import derive
from hallmark.images.decoding import decode, prepare

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from hallmark.images.shards import Reader

    Shape = tuple[int, int, int]  # height, width, channels

SIZED = 64  # images that determine the common shape
BATCH = 64  # encoded images in memory at once


def chosen(rows: pd.DataFrame, *, limit: int, seed: int) -> pd.DataFrame:
    """At most ``limit`` rows (columns ``path``, ``label``), alternating between the classes.

    Within a class the order depends on (seed, path) only, so adding an image changes few others.
    """
    key = derive(seed, "augment", "sample").to_bytes(8, "big")
    ranks = [hashlib.blake2b(str(path).encode(), digest_size=8, key=key).hexdigest() for path in rows["path"]]
    ordered = rows.assign(_rank=ranks).sort_values(["label", "_rank", "path"], kind="stable")
    turn = ordered.groupby("label").cumcount()
    ordered = ordered.assign(_turn=turn).sort_values(["_turn", "label"], kind="stable", ignore_index=True)
    return ordered.head(limit).drop(columns=["_rank", "_turn"])


def common_shape(reader: Reader, rows: pd.DataFrame, *, limit: int) -> Shape:
    """The median height and width of the first rows (columns ``shard``, ``row``), the longer side at most ``limit``.

    One channel if all of them are grey, else three.
    """
    places = list(zip(rows["shard"], rows["row"], strict=True))[:SIZED]
    shapes = np.array([decode(data, bits=reader.bits).pixels.shape for data in reader.rows(places)])
    height, width = (float(side) for side in np.median(shapes[:, :2], axis=0))
    scale = min(1.0, limit / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale)), int(shapes[:, 2].max())


def pixels(reader: Reader, rows: pd.DataFrame, shape: Shape) -> NDArray[np.uint8]:
    """Pixels uint8 [n, height, width, channels] of the rows (columns ``shard``, ``row``), in order."""
    out = np.empty((len(rows), *shape), dtype=np.uint8)
    # storage order reads every byte once
    order = sorted(
        (int(shard), int(row), at) for at, (shard, row) in enumerate(zip(rows["shard"], rows["row"], strict=True))
    )
    one = functools.partial(prepare, height=shape[0], width=shape[1], channels=shape[2], bits=reader.bits)
    with ThreadPoolExecutor(runtime.workers()) as pool:
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            data = list(reader.rows((shard, row) for shard, row, _ in batch))
            for (_, _, at), prepared in zip(batch, pool.map(one, data), strict=True):
                out[at] = prepared
    return out


def labelled(
    reader: Reader, rows: pd.DataFrame, shape: Shape, names: Sequence[str]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """:func:`pixels` of the rows, and their classes int64 [n]: indices of ``label`` in ``names``."""
    labels = np.array([names.index(label) for label in rows["label"]], dtype=np.int64)
    return pixels(reader, rows, shape), labels
