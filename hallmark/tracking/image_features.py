"""Features of ingested images by the backbone that a param names."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hallmark.contracts.runtime import workers
from hallmark.images.shards import Reader
from hallmark.learning import devices
from hallmark.models import features
from hallmark.tracking import backbones

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray


def of_stored(
    stored: NDArray[np.int64], *, backbone: str, ingest: Path, digests: Sequence[str], param: str
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Features of the images at these shards and rows, float32 [images, features], and a summary of the network.

    ``digests`` are the images' SHA-256; ``param`` is the parameter that names ``backbone``. Raises InputError,
    MachineError.
    """
    with tempfile.TemporaryDirectory() as scratch, Reader(ingest) as reader:
        network = backbones.named(backbone, Path(scratch), param=param)

        def load(rows: list[int]) -> Iterator[NDArray[np.uint8]]:
            images = reader.rows([(int(shard), int(row)) for shard, row in stored[rows]])
            return features.prepared(network, images, bits=reader.bits, workers=workers())

        values = features.cached(network, digests, load, bits=reader.bits, device=devices.select_device())
        return values, dict(network.summary())
