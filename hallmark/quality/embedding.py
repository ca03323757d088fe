"""Features of small pictures that need no training: oriented gradients for what is shown, pixels for how it looks.

Both come from the same 32x32 thumbnails and are brought to few dimensions by principal components of the images they
are fitted on. Gradients are the cells of Dalal and Triggs (Histograms of oriented gradients, CVPR 2005) with signless
orientations; pixels are 16x16 colour means.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Features = NDArray[np.float32]

SIDE = 32
_CELL = 4
_ORIENTATIONS = 8
_DIMENSIONS = 96
_FIT_ON = 20_000  # images whose covariance gives the components


def gradients(thumbnails: NDArray[np.uint8]) -> Features:
    """float32 ``[images, 512]`` from uint8 ``[images, 32, 32, 3]``: 8x8 cells of 8 orientations, locally normalised."""
    cells = SIDE // _CELL
    # square root: equal steps of light count alike in shadow and sun
    light = np.sqrt(thumbnails.mean(axis=3, dtype=np.float32) / 255)
    gy, gx = np.gradient(light, axis=(1, 2))
    size = np.hypot(gx, gy)
    turn = np.mod(np.arctan2(gy, gx), np.pi) / np.pi * _ORIENTATIONS
    low = np.floor(turn).astype(np.int64)
    part = turn - low
    histogram = np.empty((len(thumbnails), cells, cells, _ORIENTATIONS), np.float32)
    for orientation in range(_ORIENTATIONS):
        share = np.where(low % _ORIENTATIONS == orientation, 1 - part, 0)
        share = share + np.where((low + 1) % _ORIENTATIONS == orientation, part, 0)
        parts = (size * share).reshape(-1, cells, _CELL, cells, _CELL)
        histogram[..., orientation] = parts.sum(axis=(2, 4))
    energy = np.pad((histogram**2).sum(axis=3), ((0, 0), (1, 1), (1, 1)), mode="edge")
    around = sum(energy[:, i : i + cells, j : j + cells] for i in range(3) for j in range(3))
    normal = histogram / np.sqrt(around + 0.01)[..., None]
    return np.asarray(normal.reshape(len(thumbnails), -1), np.float32)


def colours(thumbnails: NDArray[np.uint8]) -> Features:
    """float32 ``[images, 768]`` in [0, 1]: means of 2x2 pixels."""
    half = SIDE // 2
    means = thumbnails.reshape(-1, half, 2, half, 2, 3).mean(axis=(2, 4), dtype=np.float32)
    return means.reshape(len(thumbnails), -1) / 255  # type: ignore[no-any-return]


@dataclass(frozen=True, kw_only=True, eq=False)
class Components:
    """Principal components of one kind of feature; :meth:`of` scales them to a mean squared length of 1."""

    mean: Features
    axes: Features  # [features, dimensions]
    scale: float

    @classmethod
    def fit(cls, features: Features) -> Components:
        """Fitted on ``[images, features]``; of more than 20 000 images, evenly spaced ones."""
        chosen = features[:: -(-len(features) // _FIT_ON)].astype(np.float64)
        mean = chosen.mean(axis=0)
        centred = chosen - mean
        values, vectors = np.linalg.eigh(centred.T @ centred / len(chosen))
        strongest = np.argsort(-values, kind="stable")[: min(_DIMENSIONS, max(1, len(chosen) - 1))]
        variance = float(values[strongest].clip(min=0).sum())
        return cls(
            mean=mean.astype(np.float32),
            axes=vectors[:, strongest].astype(np.float32),
            scale=float(1 / np.sqrt(max(variance, 1e-12))),
        )

    def of(self, features: Features) -> Features:
        """float32 ``[images, dimensions]``."""
        return np.asarray(((features - self.mean) @ self.axes) * self.scale, np.float32)


def join(shapes: Features, looks: Features) -> Features:
    """Both kinds side by side, shapes counting more: what is shown tells a class better than how it is lit."""
    return np.concatenate([shapes, np.float32(0.6) * looks], axis=1)
