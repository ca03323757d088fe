"""Images as data URIs that fit in one page: thumbnails of the data, and sheets drawn by other stages."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from hallmark.images.decoding import Undecodable, decode

if TYPE_CHECKING:
    from pathlib import Path

    from hallmark.images.shards import Reader

SMALL = 64  # pixels; up to this side a lossless PNG is small enough
SHEET_BYTES = 600_000
PAGE_BYTES = 6_000_000  # approximate total for the pictures of a page
BYTES_PER_PIXEL = 0.4  # of a JPEG in base64, an upper estimate


@dataclass(frozen=True)
class Picture:
    """A data URI; ``small``: show its pixels as squares when it is enlarged."""

    uri: str
    small: bool


def side_of(count: int, *, least: int, most: int) -> int:
    """The largest side in pixels at which ``count`` pictures take about :data:`PAGE_BYTES`.

    >>> side_of(10, least=112, most=640), side_of(150, least=112, most=640), side_of(5_000, least=112, most=640)
    (640, 316, 112)
    """
    return max(least, min(most, math.isqrt(round(PAGE_BYTES / max(count, 1) / BYTES_PER_PIXEL))))


def thumbnail(data: bytes, side: int, bits: int = 16) -> Picture | None:
    """The image within ``side`` x ``side`` pixels, never enlarged; None if it cannot be decoded."""
    small = reduced(data, side, bits)
    return None if small is None else Picture(_uri(*small), small[0] == "image/png")


def reduced(data: bytes, side: int, bits: int = 16) -> tuple[str, bytes] | None:
    """Media type and bytes of the image within ``side`` x ``side`` pixels, never enlarged; None if undecodable.

    ``bits`` as in :func:`hallmark.images.decoding.decode`.
    """
    try:
        pixels = decode(data, bits=bits).pixels
    except Undecodable:
        return None
    image = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0])
    image.thumbnail((side, side), Image.Resampling.BOX)
    if max(image.size) > SMALL:
        return _jpeg(image, 82)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return "image/png", file.getvalue()


def stored(reader: Reader, shard: int, row: int, side: int) -> Picture | None:
    """A stored image within ``side`` x ``side`` pixels; None if not stored or undecodable."""
    return thumbnail(reader.read(shard, row), side, reader.bits) if shard >= 0 else None


def sheet(path: Path, width: int = 1400) -> str | None:
    """A stage's drawing: unchanged if small, else a JPEG within ``width``; None if the file does not exist."""
    if not path.is_file():
        return None
    data = path.read_bytes()
    if len(data) <= SHEET_BYTES:
        return _uri("image/png", data)
    with Image.open(io.BytesIO(data), formats=["PNG"]) as drawn:
        image = drawn.convert("RGB")
    image.thumbnail((width, 4 * width), Image.Resampling.LANCZOS)
    return _uri(*_jpeg(image, 80))


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64," + base64.b64encode(data).decode("ascii")


def _jpeg(image: Image.Image, quality: int) -> tuple[str, bytes]:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, optimize=True)
    return "image/jpeg", file.getvalue()
