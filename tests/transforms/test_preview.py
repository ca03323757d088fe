"""The preview sheet: legible, complete, reproducible byte for byte."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from hallmark.transforms import preview
from hallmark.transforms.audit import unaudited
from hallmark.transforms.presets import resolve

if TYPE_CHECKING:
    from tests.transforms.conftest import Digits


def drawn(policy: str, images: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    transforms = resolve(policy, field="x")
    return preview.sheet(unaudited(transforms, "")[0], transforms, images, seed=0)


def test_small_images_are_enlarged_without_smoothing(digits: Digits) -> None:
    data = drawn("standard", digits.train[:3])
    assert data == drawn("standard", digits.train[:3])
    image = Image.open(io.BytesIO(data))
    assert set(image.info) <= {"icc_profile"}
    left, top = preview.MARGIN + preview.LABELS, preview.MARGIN + preview.HEAD
    tile = np.asarray(image.convert("L"))[top : top + preview.TILE, left : left + preview.TILE]
    assert np.array_equal(tile[4::8, 4::8], digits.train[0, :, :, 0])
    assert len(np.unique(tile)) == len(np.unique(digits.train[0]))


@pytest.mark.parametrize("policy", ["none", "trivial", "natural"])
@pytest.mark.parametrize("shape", [(1, 8, 8, 1), (8, 24, 40, 3)], ids=str)
def test_a_row_for_each_transform_and_one_for_the_policy(policy: str, shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    image = Image.open(io.BytesIO(drawn(policy, images)))
    rows = {"none": 0, "trivial": 12, "natural": 6}[policy] + 1
    assert image.height == 2 * preview.MARGIN + preview.HEAD + rows * (preview.TILE + preview.MARGIN)
    lowest = np.asarray(image.convert("L"))[-preview.MARGIN - preview.TILE : -preview.MARGIN]
    assert lowest.std() > 10
