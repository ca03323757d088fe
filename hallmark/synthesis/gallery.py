"""A sheet of generated images beside real ones, a row for each class."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hallmark.synthesis.generator import Images

TILE = 48  # least pixels; whole-number enlargement keeps single pixels visible
GAP = 3
BETWEEN = 28  # between real and generated
HEAD = 24
CLASSES = 12
REAL, MADE = 8, 12
PAPER, INK = (255, 255, 255), (60, 60, 60)
SIZE = 13
ELLIPSIS = 16  # length of a class name before it is cut


def sheet(rows: Sequence[tuple[str, Images, Images]]) -> bytes:
    """A PNG of (class, real images, generated images) rows; equal images give equal bytes."""
    rows = rows[:CLASSES]
    shape = next(images.shape[1:3] for _, *both in rows for images in both if len(images))
    scale = max(1, -(-TILE // max(shape)))
    height, width = shape[0] * scale, shape[1] * scale
    font = ImageFont.load_default(SIZE)
    labels = [label if len(label) <= ELLIPSIS else f"{label[: ELLIPSIS - 1]}…" for label, *_ in rows]
    margin = 12 + max(40, *(int(font.getlength(label)) + 12 for label in labels))
    second = margin + REAL * (width + GAP) + BETWEEN
    page = Image.new("RGB", (second + MADE * (width + GAP) + 12, HEAD + len(rows) * (height + GAP) + 10), PAPER)
    pen = ImageDraw.Draw(page)
    pen.text((margin, 4), "real", fill=INK, font=font)
    pen.text((second, 4), "synthetic", fill=INK, font=font)
    for number, (label, (_, real, generated)) in enumerate(zip(labels, rows, strict=True)):
        top = HEAD + number * (height + GAP)
        pen.text((12, top + height // 2 - SIZE // 2 - 2), label, fill=INK, font=font)
        for left, images, count in ((margin, real, REAL), (second, generated, MADE)):
            for column, image in enumerate(images[:count]):
                page.paste(_tile(image, scale), (left + column * (width + GAP), top))
    file = io.BytesIO()
    page.save(file, "PNG")
    return file.getvalue()


def png(image: np.ndarray) -> bytes:
    """An image uint8 [height, width, 1 or 3] as the bytes of a PNG file."""
    file = io.BytesIO()
    Image.fromarray(image if image.shape[2] == 3 else image[:, :, 0]).save(file, "PNG")
    return file.getvalue()


def _tile(image: np.ndarray, scale: int) -> Image.Image:
    large = np.repeat(np.repeat(image, scale, axis=0), scale, axis=1)
    return Image.fromarray(large if large.shape[2] == 3 else large[:, :, 0]).convert("RGB")
