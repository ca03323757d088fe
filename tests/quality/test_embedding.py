"""Features of images: gradients that keep their size whatever the contrast, and colours."""

from __future__ import annotations

import numpy as np
import pytest

from hallmark.quality import embedding

SIDE = embedding.SIDE


def stripes(low: int, high: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """One image of vertical stripes, four pixels wide, uint8 [1, 32, 32, 3]."""
    row = np.where(np.arange(SIDE) // 4 % 2, high, low).astype(np.uint8)
    return np.repeat(np.broadcast_to(row, (1, SIDE, SIDE))[..., None], 3, axis=3)


def test_gradients_are_normalised_by_the_energy_around_them() -> None:
    strong, weak = (embedding.gradients(stripes(0, high))[0] for high in (255, 64))
    assert strong == pytest.approx(weak, rel=0.02, abs=1e-3), "a quarter of the light is the same shape"
    cells = strong.reshape(4, 4, -1) if len(strong) == 128 else strong.reshape(8, 8, -1)
    inner = (cells[:3, :3] ** 2).sum()
    assert 0.5 < inner < 2, "of nine neighbouring cells the squares sum to about 1"


def test_the_orientation_of_stripes_fills_one_bin() -> None:
    upright = embedding.gradients(stripes(0, 255))[0].reshape(-1, 8).sum(axis=0)
    lying = embedding.gradients(stripes(0, 255).swapaxes(1, 2))[0].reshape(-1, 8).sum(axis=0)
    assert upright.argmax() != lying.argmax()
    assert upright.max() > 0.9 * upright.sum()


def test_a_flat_image_has_no_gradients_and_its_colour() -> None:
    flat = np.full((1, SIDE, SIDE, 3), 51, np.uint8)
    assert not embedding.gradients(flat).any()
    assert embedding.colours(flat) == pytest.approx(0.2)
