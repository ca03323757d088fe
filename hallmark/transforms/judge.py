"""The judge of the audit: a classifier on small features, fitted in seconds on clean training images.

It decides whether an image still looks like its label after a transform. Features are the image at 16 x 16 at most and
histograms of oriented gradients (Dalal & Triggs 2005), which tolerate small shifts; the classifier is a support vector
machine with a radial kernel. It is deterministic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import numpy as np

from hallmark.statistics.components import principal
from hallmark.statistics.orientation import planes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Images = NDArray[np.uint8]  # [n, height, width, channels]
    Features = NDArray[np.float32]
    Labels = NDArray[np.int64]

SIDE = 16  # pixels of the thumbnail
ORIENTATIONS = 8
CELLS = 4  # per side
COMPONENTS = 96


@final
class Judge:
    """Fitted on images uint8 [n, height, width, channels] with labels int64 [n] of at least two classes."""

    def __init__(self, images: Images, labels: Labels) -> None:
        from sklearn.pipeline import make_pipeline
        from sklearn.svm import SVC

        features = describe(images)
        self._model: Any = make_pipeline(
            principal(features, COMPONENTS),
            SVC(C=10.0, kernel="rbf", gamma="scale", class_weight="balanced"),
        )
        self._model.fit(features, labels)

    def __call__(self, images: Images) -> Labels:
        """The label of each image, int64 [n]."""
        labels: Labels = self._model.predict(describe(images)).astype(np.int64)
        return labels


def describe(images: Images) -> Features:
    """Features float32 [n, d] of images uint8 [n, height, width, channels]: thumbnail and gradient histograms."""
    thumbnails = np.stack([_thumbnail(image) for image in images]).astype(np.float32) / 255.0
    grey = thumbnails.mean(axis=3)
    pixels = thumbnails.reshape(len(images), -1)
    gradients = _orientations(grey)
    # equal weight for both parts: each is scaled by the root of its number of columns
    parts = [part / np.sqrt(part.shape[1]) for part in (pixels, gradients)]
    return np.concatenate(parts, axis=1).astype(np.float32)


def _thumbnail(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width, channels = image.shape
    if height <= SIDE and width <= SIDE:
        return image
    import cv2

    size = (min(width, SIDE), min(height, SIDE))
    small: NDArray[np.uint8] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return small.reshape(size[1], size[0], channels)


def _orientations(grey: Features) -> Features:
    """Histograms of oriented gradients [n, cells * orientations], weighted by length, normalised, square-rooted."""
    framed = np.pad(grey, ((0, 0), (1, 1), (1, 1)), mode="edge")
    vertical = (framed[:, 2:, 1:-1] - framed[:, :-2, 1:-1]) / 2
    horizontal = (framed[:, 1:-1, 2:] - framed[:, 1:-1, :-2]) / 2
    length = np.hypot(vertical, horizontal)
    turn = (np.arctan2(vertical, horizontal) / (2 * np.pi) * ORIENTATIONS) % ORIENTATIONS
    by_orientation = np.stack(list(planes(length, turn, ORIENTATIONS)), axis=3)
    rows = np.array_split(np.arange(grey.shape[1]), min(CELLS, grey.shape[1]))
    columns = np.array_split(np.arange(grey.shape[2]), min(CELLS, grey.shape[2]))
    cells = [by_orientation[:, r[0] : r[-1] + 1, c[0] : c[-1] + 1].mean(axis=(1, 2)) for r in rows for c in columns]
    histogram = np.concatenate(cells, axis=1)
    norm = np.linalg.norm(histogram, axis=1, keepdims=True)
    rooted: Features = np.sqrt(histogram / np.maximum(norm, 1e-6)).astype(np.float32)
    return rooted
