"""Small versions of stored images, for comparing them in memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from hallmark.images.decoding import prepare
from hallmark.images.shards import Reader

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_BLOCK = 256  # files in memory at once: Executor.map would read all of them


def load(folder: Path, positions: NDArray[np.int64], *, side: int, workers: int) -> NDArray[np.uint8]:
    """uint8 ``[images, side, side, 3]`` of the images at ``positions`` ``[images, 2]`` (shard, row) of a folder."""
    out = np.empty((len(positions), side, side, 3), np.uint8)
    with Reader(folder) as reader, ThreadPoolExecutor(workers) as pool:
        for begin in range(0, len(positions), _BLOCK):
            pairs = [(int(shard), int(row)) for shard, row in positions[begin : begin + _BLOCK]]
            for index, pixels in enumerate(
                pool.map(lambda data: prepare(data, side, side, 3, bits=reader.bits), reader.rows(pairs)), begin
            ):
                out[index] = pixels
    return out
