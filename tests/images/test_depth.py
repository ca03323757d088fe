"""Depth of 16-bit images: computed from the largest sample, stored beside the shards, reported in words."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hallmark.images import depth
from hallmark.images.shards import Reader

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def encoded(pixels: NDArray[Any], form: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


@given(st.lists(st.integers(0, 65535)))
def test_no_sample_lies_above_the_range_and_the_largest_fills_half_of_it(peaks: list[int]) -> None:
    result = depth.of(peaks)
    assert result.files == sum(peak > 0 for peak in peaks)
    assert max(peaks, default=0) < 2**result.bits
    assert result.bits in (depth.LEAST, depth.MOST) or max(peaks) >= 2 ** (result.bits - 1)


def test_a_given_depth_precedes_the_measured_one() -> None:
    assert depth.of([4080], declared=14).bits == 14
    clipped = depth.of([4080, 20000], declared=12)
    assert clipped.bits == 12
    assert "1 of them reach above it and are clipped" in clipped.words()


def test_a_set_of_two_depths_is_reported() -> None:
    assert "40 of them use 3 bits less or fewer and look dark" in depth.of([4095] * 40 + [65535]).words()
    assert depth.of([65000] * 40).words() == ""
    assert depth.of([]).words() == ""


@pytest.mark.parametrize("form", ["PNG", "TIFF", "JPEG2000", "PPM"])
def test_files_of_16_bits_are_candidates(form: str) -> None:
    assert depth.candidate(encoded(np.full((9, 9), 4000, np.uint16), form))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
def test_files_of_8_bits_are_not_looked_at(form: str) -> None:
    assert not depth.candidate(encoded(np.full((9, 9), 40, np.uint8), form))
    assert not depth.candidate(b"")


def test_it_lies_beside_the_shards_where_any_image_has_need_of_it(tmp_path: Path) -> None:
    depth.write(tmp_path, depth.of([]))
    assert list(tmp_path.iterdir()) == []
    assert Reader(tmp_path).bits == 16
    depth.write(tmp_path, depth.of([1023]))
    assert Reader(tmp_path).bits == 10
