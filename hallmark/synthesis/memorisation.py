"""Gate (a): does the generator copy its training images?

An image is a near-copy if it is closer to a training image than unseen real images are. Distance is relative to that
training image's distance to its own nearest neighbour, so classes of similar images do not count as copies. The limit
is a low quantile of this ratio over validation images. The data-copying test of Meehan et al. (2020) compares the whole
set: the probability that a generated image has a smaller ratio than a real one is 0.5 for images like real ones.
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

SIDE = 16  # pixels of the longer side for comparison, so that noise and sharpness do not hide a copy
FLOOR = 0.25  # a smaller ratio is always a copy
CEILING = 0.45  # a larger ratio is never a copy; the midpoint of two neighbours has 0.5
ENOUGH = 50  # validation images that the quantile needs; with fewer the limit is FLOOR


@dataclass(frozen=True, kw_only=True)
class Closeness:
    """Per image: distance to the nearest training image (root mean square over pixels), and the ratio."""

    distance: NDArray[np.float64]
    ratio: NDArray[np.float64]
    copy: NDArray[np.bool_]
    limit: float
    held_out: NDArray[np.float64]  # ratios of validation images


def measure(images: Images, train: Images, held_out: Images, *, quantile: float) -> Closeness:
    """Measures generated and held-out images against the training images, all uint8 [n, height, width, channels]."""
    points, train_points, held_out_points = (_points(each) for each in (images, train, held_out))
    distance, ratio = _ratios(points, train_points)
    reference = _ratios(held_out_points, train_points)[1] if len(held_out_points) else np.empty(0)
    limit = FLOOR
    if len(reference) >= ENOUGH:
        limit = float(np.clip(np.quantile(reference, quantile), FLOOR, CEILING))
    return Closeness(distance=distance, ratio=ratio, copy=ratio < limit, limit=limit, held_out=reference)


def gate(closeness: Closeness, *, max_copies: float) -> Gate:
    """Refuses the set if more than the share ``max_copies`` of the images are near-copies."""
    share = float(closeness.copy.mean()) if len(closeness.copy) else 0.0
    passed = share <= max_copies
    closer = _closer(closeness.ratio, closeness.held_out)
    figures = {
        "made": len(closeness.copy),
        "near_copies": int(closeness.copy.sum()),
        "near_copy_share": rounded(share),
        "max_near_copy_share": max_copies,
        "ratio_limit": rounded(closeness.limit),
        "median_ratio": rounded(float(np.median(closeness.ratio))) if len(closeness.ratio) else None,
        "median_ratio_held_out": rounded(float(np.median(closeness.held_out))) if len(closeness.held_out) else None,
        "probability_closer_than_held_out": rounded(closer),
        "held_out": len(closeness.held_out),
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
    """Distance to the nearest training image, and its ratio to that image's distance to its nearest neighbour."""
    distance, index = nearest(points, train, k=1)
    neighbours, back = np.unique(index[:, 0], return_inverse=True)
    room = nearest(train[neighbours], train, k=1, but=neighbours)[0][:, 0]
    # a duplicated training image has distance 0 to its neighbour, and nothing near it would count as a copy
    room = np.maximum(room, np.median(room) / 4) if len(room) else room
    return distance[:, 0], distance[:, 0] / np.maximum(room[back], 1e-6)


def _closer(generated: NDArray[np.float64], held_out: NDArray[np.float64]) -> float:
    """The probability that a generated image's ratio is below a held-out one's; ties count half."""
    return superiority(held_out, generated) if len(generated) and len(held_out) else float("nan")
