"""Writes seeded, photo-like JPEGs of 224 px in class folders, as benchmark data.

Natural pictures have about equal energy in every octave, and colours that correlate with luminance. Each image mixes
two crops of a pool of such textures, with its own light, gain and noise. Of a hundred files one is an exact copy of
another, and one a re-encoded copy.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 224
CLASSES = 10
POOL, POOL_SIDE = 32, 512
QUALITY = 90
BATCH = 500


@cache
def textures() -> list[NDArray[np.float32]]:
    """float32 [512, 512, 3] around 0: YCrCb-like, the light with energy in every octave, the colours without detail."""
    rng = np.random.default_rng(20_261_123)
    made = []
    for _ in range(POOL):
        out = np.zeros((POOL_SIDE, POOL_SIDE, 3), np.float32)
        for octave, side in enumerate((4, 8, 16, 32, 64, 128, 256)):
            grid = rng.standard_normal((side, side, 3)).astype(np.float32)
            grid[:, :, 1:] *= 0.5 * 0.6**octave
            # edges, not clouds: half of the octaves' energy lies in flat patches with borders
            out += cv2.resize(grid, (POOL_SIDE, POOL_SIDE), interpolation=cv2.INTER_CUBIC)
            out += 0.5 * cv2.resize(np.sign(grid), (POOL_SIDE, POOL_SIDE), interpolation=cv2.INTER_LINEAR)
        made.append(out / out[:, :, 0].std())
    return made


def photo(number: int, quality: int = QUALITY) -> bytes:
    """The JPEG of one image; the same number gives the same pixels."""
    rng = np.random.default_rng([20_261_123, number])
    mixed = np.zeros((SIDE, SIDE, 3), np.float32)
    for weight in (1.0, rng.uniform(0.3, 0.9)):
        top, left = rng.integers(0, POOL_SIDE - SIDE, 2)
        crop = textures()[rng.integers(POOL)][top : top + SIDE, left : left + SIDE]
        mixed += weight * (crop[:, ::-1] if rng.random() < 0.5 else crop)
    mixed *= rng.uniform(18, 34)
    mixed[:, :, 0] += rng.uniform(100, 150)
    mixed[:, :, 1:] += 128
    pixels = cv2.cvtColor(np.clip(mixed, 0, 255).astype(np.uint8), cv2.COLOR_YCrCb2BGR)
    done, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return encoded.tobytes()


def _make(folder: str, start: int, stop: int) -> None:
    cv2.setNumThreads(1)
    for number in range(start, stop):
        source, quality = number, QUALITY
        if number % 100 == 1:
            source = number - 1
        elif number % 100 == 3:
            source, quality = number - 1, 70
        path = Path(folder) / f"class_{source % CLASSES}" / f"{number:07d}.jpg"
        path.write_bytes(photo(source, quality))


def make(folder: Path, images: int, *, workers: int, start: int = 0) -> None:
    """Writes images ``start`` to ``images`` (not included)."""
    for number in range(CLASSES):
        (folder / f"class_{number}").mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        parts = [(begin, min(begin + BATCH, images)) for begin in range(start, images, BATCH)]
        list(pool.map(_make, *zip(*((str(folder), *part) for part in parts), strict=True)))
