"""The largest sample value of stored 16-bit images, measured in isolated processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hallmark.images.decoding import MAX_PIXELS
from hallmark.images.shards import Reader
from hallmark.quality.isolation import Limits, measure_all
from hallmark.quality.measurement import measure_peak

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# generous: validate applies its own, stricter limits later
LIMITS = Limits(max_pixels=MAX_PIXELS, seconds=60.0, memory_mib=4096)


def peaks(folder: Path, positions: Sequence[tuple[int, int]], *, workers: int) -> list[int]:
    """The largest sample of each image at (shard, row) ``positions`` of a folder of shards, in order.

    0 for a file with 8 bits per sample, a declared range, or undecodable content.
    """
    with Reader(folder) as reader:
        measured = measure_all(reader.rows(positions), LIMITS, workers=workers, measure_one=measure_peak)
        return [one.peak for one in measured]
