"""Reads images of IDX files, as MNIST and Fashion-MNIST are distributed, and encodes images as PNG."""

from __future__ import annotations

import gzip
import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def read(folder: Path, part: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images uint8 [n, height, width, 1] and labels int64 [n]; ``part`` is ``train`` or ``t10k``.

    Raises ValueError if images and labels do not match.
    """
    pixels = gzip.decompress((folder / f"{part}-images-idx3-ubyte.gz").read_bytes())
    count, height, width = np.frombuffer(pixels, ">i4", 3, offset=4)
    classes = gzip.decompress((folder / f"{part}-labels-idx1-ubyte.gz").read_bytes())
    labels = np.frombuffer(classes, np.uint8, offset=8).astype(np.int64)
    if len(labels) != count:
        raise ValueError(f"{folder}, {part}: {len(labels)} labels for {count} images")
    return np.frombuffer(pixels, np.uint8, offset=16).reshape(count, height, width, 1), labels


def png(image: NDArray[np.uint8]) -> bytes:
    """An image [height, width] or [height, width, 1 or 3] as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2:] == (1,) else image).save(file, "PNG", compress_level=1)
    return file.getvalue()
