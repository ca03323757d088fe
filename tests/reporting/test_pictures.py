"""Pictures in the page: small ones unchanged, photographs within the requested side."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from hallmark.reporting import pictures


def encoded(width: int, height: int) -> bytes:
    x, y = np.meshgrid(np.linspace(0, 20, width), np.linspace(0, 20, height))
    channels = [np.sin(x + phase) * np.cos(y) * 100 + 128 for phase in (0, 1, 2)]
    noise = np.random.default_rng(0).normal(0, 6, (height, width, 3))
    file = io.BytesIO()
    Image.fromarray((np.stack(channels, axis=2) + noise).clip(0, 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def opened(picture: pictures.Picture | None) -> Image.Image:
    assert picture is not None
    return Image.open(io.BytesIO(base64.b64decode(picture.uri.partition(",")[2])))


def test_a_small_image_is_embedded_unchanged() -> None:
    data = encoded(28, 20)
    picture = pictures.thumbnail(data, 640)
    assert opened(picture).size == (28, 20)
    assert np.array_equal(np.asarray(opened(picture)), np.asarray(Image.open(io.BytesIO(data))))
    assert picture is not None
    assert picture.small


def test_a_photograph_has_the_requested_size() -> None:
    picture = pictures.thumbnail(encoded(900, 600), 640)
    assert opened(picture).size == (640, 427)
    assert picture is not None
    assert not picture.small


@pytest.mark.parametrize("count", [12, 60, 190])
def test_a_page_of_photographs_keeps_its_size(count: int) -> None:
    side = pictures.side_of(count, least=112, most=640)
    picture = pictures.thumbnail(encoded(900, 900), side)
    assert picture is not None
    assert count * len(picture.uri) < 1.3 * pictures.PAGE_BYTES
    assert max(opened(picture).size) == side


def test_an_undecodable_image_is_none() -> None:
    assert pictures.thumbnail(b"no picture", 640) is None
