"""Thumbnails of stored images: in the requested order, scaled by the shards' bit depth."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from hallmark.images import depth, shards
from hallmark.quality import sample_depth, thumbnails

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def png(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def flat(value: int, *, height: int = 10, width: int = 6) -> NDArray[np.uint8]:
    return np.full((height, width), value, np.uint8)


def deep(value: int) -> NDArray[np.uint16]:
    return np.full((4, 4), value, np.uint16)


@pytest.mark.parametrize("workers", [1, 3])
def test_thumbnails_come_in_the_order_asked_over_several_blocks(
    tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thumbnails, "_BLOCK", 2)
    positions = shards.write(tmp_path, [(f"{value}.png", png(flat(value))) for value in range(7)])
    order = [4, 0, 6, 6, 1]
    images = thumbnails.load(tmp_path, np.array([positions[n] for n in order]), side=5, workers=workers)
    assert images.shape == (5, 5, 5, 3)
    assert images.dtype == np.uint8
    assert (images == np.array(order)[:, None, None, None]).all()


def test_no_image_is_no_thumbnail(tmp_path: Path) -> None:
    assert thumbnails.load(tmp_path, np.zeros((0, 2), np.int64), side=4, workers=1).shape == (0, 4, 4, 3)


def test_deep_images_are_scaled_by_the_depth_of_their_folder(tmp_path: Path) -> None:
    (position,) = shards.write(tmp_path, [("deep.png", png(deep(4095)))])
    assert thumbnails.load(tmp_path, np.array([position]), side=4, workers=1).max() == 16
    depth.write(tmp_path, depth.of([4095]))
    assert thumbnails.load(tmp_path, np.array([position]), side=4, workers=1).max() == 255


def test_the_largest_sample_of_each_deep_image_is_read_in_the_order_asked(tmp_path: Path) -> None:
    items = [
        ("flat.png", png(flat(9))),
        ("deep.png", png(deep(4095))),
        ("torn.png", b"\x89PNG"),
        ("2.png", png(deep(7))),
    ]
    positions = shards.write(tmp_path, items)
    assert sample_depth.peaks(tmp_path, [positions[n] for n in (3, 2, 1, 0)], workers=1) == [7, 0, 4095, 0]
