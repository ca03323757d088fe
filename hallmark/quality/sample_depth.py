"""The largest sample of stored 16-bit images, found in processes that no file can take the run down with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hallmark.images.decoding import MAX_PIXELS
from hallmark.images.shards import Reader
from hallmark.quality.isolation import Limits, measure_all
from hallmark.quality.measurement import measure_peak

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# generous: validate refuses by limits of its own what this lets pass
LIMITS = Limits(max_pixels=MAX_PIXELS, seconds=60.0, memory_mib=4096)


def peaks(folder: Path, places: Sequence[tuple[int, int]], *, workers: int) -> list[int]:
    """The largest sample of each image at (shard, row) ``places`` of a folder of shards, in their order.

    0 where a file holds 8 bits a sample, declares its range, or cannot be decoded.
    """
    with Reader(folder) as reader:
        measured = measure_all(reader.rows(places), LIMITS, workers=workers, measure_one=measure_peak)
        return [one.peak for one in measured]
