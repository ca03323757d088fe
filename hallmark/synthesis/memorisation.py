"""Gate (a): does the generator invent, or does it copy its training images?

An image is a near-copy where it lies closer to a training image than real, unseen images do. Close is measured against
the room that the training image has around it: its distance to its own nearest neighbour; so a class of look-alikes is
not taken for copied. The limit is a low quantile of the same ratio over validation images, which the generator never
saw. Whether the set as a whole lies closer to the training images than real images do is told by the probability that
an image of it has the smaller ratio (the data-copying test of Meehan et al. 2020): one half for images as real ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hallmark.statistics.metrics import superiority
from hallmark.statistics.neighbours import nearest
from hallmark.synthesis.gate import Gate, rounded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hallmark.synthesis.generator import Images

SIDE = 16  # pixels of the longer side at which images are compared: noise and sharpness do not hide a copy
FLOOR = 0.25  # closer than this share of the usual room is a copy, whatever the validation images do
CEILING = 0.45  # and farther than this is none: half-way between two neighbours is
ENOUGH = 50  # validation images a quantile of theirs needs; with fewer the limit is FLOOR


@dataclass(frozen=True, kw_only=True)
class Closeness:
    """Of each image: its distance to the nearest training image (root mean square over pixels), and the ratio."""

    distance: NDArray[np.float64]
    ratio: NDArray[np.float64]
    copy: NDArray[np.bool_]
    limit: float
    held_out: NDArray[np.float64]  # ratios of validation images


def measure(made: Images, train: Images, held_out: Images, *, quantile: float) -> Closeness:
    """Measures made and held-out images against the training images, all uint8 [n, height, width, channels]."""
    points, known, unseen = (_points(images) for images in (made, train, held_out))
    distance, ratio = _ratios(points, known)
    reference = _ratios(unseen, known)[1] if len(unseen) else np.empty(0)
    limit = FLOOR
    if len(reference) >= ENOUGH:
        limit = float(np.clip(np.quantile(reference, quantile), FLOOR, CEILING))
    return Closeness(distance=distance, ratio=ratio, copy=ratio < limit, limit=limit, held_out=reference)


def gate(found: Closeness, *, max_copies: float) -> Gate:
    """Refuses where more than the share ``max_copies`` of the images are near-copies."""
    share = float(found.copy.mean()) if len(found.copy) else 0.0
    passed = share <= max_copies
    closer = _closer(found.ratio, found.held_out)
    figures = {
        "made": len(found.copy),
        "near_copies": int(found.copy.sum()),
        "near_copy_share": rounded(share),
        "max_near_copy_share": max_copies,
        "ratio_limit": rounded(found.limit),
        "median_ratio": rounded(float(np.median(found.ratio))) if len(found.ratio) else None,
        "median_ratio_held_out": rounded(float(np.median(found.held_out))) if len(found.held_out) else None,
        "probability_closer_than_held_out": rounded(closer),
        "held_out": len(found.held_out),
    }
    reason = f"{figures['near_copies']} of {figures['made']} images are near-copies of training images"
    if not passed:
        reason += f", more than {max_copies:.0%}"
    elif figures["near_copies"]:
        reason += "; they are left out"
    return Gate(name="memorisation", passed=passed, reason=reason, figures=figures)


def _points(images: Images) -> NDArray[np.float32]:
    """Images as points float32 [n, pixels], scaled so that distances are root mean squares."""
    height, width = images.shape[1:3]
    if max(height, width) > SIDE and len(images):
        import cv2

        scale = SIDE / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        images = np.stack(
            [cv2.resize(image, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], -1) for image in images]
        )
    flat = images.reshape(len(images), math.prod(images.shape[1:])).astype(np.float32) / 255
    points: NDArray[np.float32] = (flat / np.sqrt(max(1, flat.shape[1]))).astype(np.float32)
    return points


def _ratios(points: NDArray[np.float32], train: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance to the nearest training image, and that over the distance from there to the next training image."""
    distance, index = nearest(points, train, k=1)
    asked, back = np.unique(index[:, 0], return_inverse=True)
    room = nearest(train[asked], train, k=1, but=asked)[0][:, 0]
    # beside a doubled training image there is no room, and nothing would be a copy
    room = np.maximum(room, np.median(room) / 4) if len(room) else room
    return distance[:, 0], distance[:, 0] / np.maximum(room[back], 1e-6)


def _closer(made: NDArray[np.float64], held_out: NDArray[np.float64]) -> float:
    """The probability that a made image's ratio is below a held-out one's, ties halved."""
    return superiority(held_out, made) if len(made) and len(held_out) else float("nan")
