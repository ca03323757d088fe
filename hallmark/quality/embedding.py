"""Untrained features of small pictures: oriented gradients for shape, pixels for appearance.

Both use 32x32 thumbnails and are later reduced by principal components. Gradients are HOG cells (Dalal and Triggs,
CVPR 2005) with unsigned orientations; pixels are 16x16 colour means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hallmark.statistics.orientation import planes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Features = NDArray[np.float32]

SIDE = 32
_CELL = 4
_ORIENTATIONS = 8


def gradients(thumbnails: NDArray[np.uint8]) -> Features:
    """float32 ``[images, 512]`` from uint8 ``[images, 32, 32, 3]``: 8x8 cells of 8 orientations, locally normalised."""
    cells = SIDE // _CELL
    # square root (gamma) compression balances gradients in shadow and light
    light = np.sqrt(thumbnails.mean(axis=3, dtype=np.float32) / 255)
    gy, gx = np.gradient(light, axis=(1, 2))
    size = np.hypot(gx, gy)
    turn = (np.mod(np.arctan2(gy, gx), np.pi) / np.pi * _ORIENTATIONS).astype(np.float64)
    histogram = np.empty((len(thumbnails), cells, cells, _ORIENTATIONS), np.float32)
    for orientation, plane in enumerate(planes(size, turn, _ORIENTATIONS)):
        histogram[..., orientation] = plane.reshape(-1, cells, _CELL, cells, _CELL).sum(axis=(2, 4))
    energy = np.pad((histogram**2).sum(axis=3), ((0, 0), (1, 1), (1, 1)), mode="edge")
    around = sum(energy[:, i : i + cells, j : j + cells] for i in range(3) for j in range(3))
    normal = histogram / np.sqrt(around + 0.01)[..., None]
    return np.asarray(normal.reshape(len(thumbnails), -1), np.float32)


def colours(thumbnails: NDArray[np.uint8]) -> Features:
    """float32 ``[images, 768]`` in [0, 1]: means of 2x2 pixels."""
    half = SIDE // 2
    means = thumbnails.reshape(-1, half, 2, half, 2, 3).mean(axis=(2, 4), dtype=np.float32)
    return means.reshape(len(thumbnails), -1) / 255  # type: ignore[no-any-return]


def join(shapes: Features, looks: Features) -> Features:
    """Both kinds concatenated, with more weight on shapes: they identify a class better than its light."""
    return np.concatenate([shapes, np.float32(0.6) * looks], axis=1)
