"""Images side by side, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from einops import rearrange

if TYPE_CHECKING:
    from numpy.typing import NDArray


def make_grid(images: NDArray[np.uint8], *, columns: int = 8, rows: int = 4, least: int = 32) -> NDArray[np.uint8]:
    """Up to columns x rows images [n, h, w, c] in one [H, W, c]; small ones enlarged to ``least`` pixels or more.

    >>> make_grid(np.zeros((5, 8, 8, 1), np.uint8), columns=3, rows=4).shape
    (64, 96, 1)
    """
    grid = np.asarray(images[: columns * rows])
    factor = max(1, -(-least // min(grid.shape[1:3])))
    grid = grid.repeat(factor, axis=1).repeat(factor, axis=2)
    missing = -len(grid) % columns
    grid = np.concatenate([grid, np.full((missing, *grid.shape[1:]), 255, np.uint8)])
    return rearrange(grid, "(r k) h w c -> (r h) (k w) c", k=columns)
