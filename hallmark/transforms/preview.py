"""The preview sheet: each transform at three strengths on the user's own images, as one PNG.

Small images are enlarged without smoothing, so the sheet shows the pixels that the network gets. Equal verdicts and
images give equal bytes: no time, no metadata, Pillow's built-in font.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hallmark.contracts.seeds import derive
from hallmark.transforms import catalogue
from hallmark.transforms.policy import build

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from hallmark.transforms.catalogue import Transform
    from hallmark.transforms.verdicts import Verdict

    Images = NDArray[np.uint8]  # [n, height, width, channels]

STRENGTHS = (0.5, 1.0, 1.5)
TILE, GAP, MARGIN, LABELS, HEAD = 64, 4, 16, 250, 34
INK, FAINT, PAPER = (28, 30, 34), (110, 114, 122), (255, 255, 255)
COLOURS = {
    "kept": (22, 122, 72),
    "weakened": (176, 106, 0),
    "warned": (176, 106, 0),
    "dropped": (190, 30, 45),
    "cannot_tell": FAINT,
    "not_audited": FAINT,
    "left_out": FAINT,
}


def sheet(verdicts: Sequence[Verdict], policy: list[Transform], images: Images, *, seed: int) -> bytes:
    """PNG bytes: a row per verdict with the images untouched and at :data:`STRENGTHS`; the last row draws the policy.

    ``images`` uint8 [n, height, width, channels], n >= 1; ``policy`` is the policy after the audit.
    """
    rows = [verdict for verdict in verdicts if verdict.outcome != "left_out"]
    group = max(150, len(images) * (TILE + GAP) + MARGIN)
    width = 2 * MARGIN + LABELS + 4 * group
    height = 2 * MARGIN + HEAD + (len(rows) + 1) * (TILE + MARGIN)
    canvas = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(canvas)
    left = MARGIN + LABELS
    heads = ("untouched", "half the strength", "as asked for", "half as strong again")
    for column, words in enumerate(heads):
        draw.text((left + column * group, MARGIN + 6), words, fill=FAINT, font=_font(13))
    for row, verdict in enumerate(rows):
        top = MARGIN + HEAD + row * (TILE + MARGIN)
        _label(draw, top, verdict.transform["name"], _arguments(verdict.transform), verdict.outcome)
        _paste(canvas, images, left, top)
        strengths = STRENGTHS if catalogue.has_strength(verdict.transform) else (1.0,)
        for strength in strengths:
            transform = {**catalogue.scaled(verdict.transform, strength), "p": 1.0}
            column = 1 + STRENGTHS.index(strength)
            _paste(canvas, _transformed([transform], images, seed), left + column * group, top)
    top = MARGIN + HEAD + len(rows) * (TILE + MARGIN)
    _label(draw, top, "the policy", "as training uses it, three draws", "")
    _paste(canvas, images, left, top)
    for draws in range(3):
        _paste(canvas, _transformed(policy, images, derive(seed, draws)), left + (1 + draws) * group, top)
    file = io.BytesIO()
    canvas.save(file, "PNG", optimize=True)
    return file.getvalue()


def _transformed(transforms: list[Transform], images: Images, seed: int) -> Images:
    height, width, channels = images.shape[1:]
    policy = build(transforms, height=height, width=width, channels=channels)
    return np.stack([policy(image, derive(seed, "preview", index)) for index, image in enumerate(images)])


def _paste(canvas: Image.Image, images: Images, left: int, top: int) -> None:
    for index, pixels in enumerate(images):
        image = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0]).convert("RGB")
        scale = TILE / max(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX)
        canvas.paste(image, (left + index * (TILE + GAP), top))


def _label(draw: ImageDraw.ImageDraw, top: int, name: str, detail: str, outcome: str) -> None:
    draw.text((MARGIN, top), name, fill=INK, font=_font(15))
    for line, words in enumerate(_wrapped(detail, LABELS - MARGIN)[:2]):
        draw.text((MARGIN, top + 20 + 13 * line), words, fill=FAINT, font=_font(11))
    if outcome:
        draw.text((MARGIN, top + 48), outcome.replace("_", " "), fill=COLOURS[outcome], font=_font(13))


def _arguments(transform: Transform) -> str:
    """The amounts of a transform in short: ``rotate -10…10, scale 0.9…1.1``."""
    amounts = catalogue.CATALOGUE[transform["name"]].amounts
    words = []
    for key, value in transform["arguments"].items():
        if key in amounts:
            spelt = f"{value[0]:g}…{value[1]:g}" if isinstance(value, list) else f"{value:g}"
            words.append(f"{key.removesuffix('_limit').removesuffix('_range').replace('_', ' ')} {spelt}")
    return ", ".join(words)


def _wrapped(text: str, width: int) -> list[str]:
    font, lines = _font(11), [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
