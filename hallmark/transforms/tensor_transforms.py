"""Tensor versions of single transforms: the random draws and the kernel call of each.

Each function of :data:`MAKERS` returns None if its arguments have no equivalent here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hallmark.transforms import kernels

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from hallmark.transforms.draws import Draws

    Apply = Callable[[Tensor, Draws], Tensor]

ATTEMPTS = 10  # to draw a crop that fits, as in albumentations

Arguments = dict[str, Any]


def _pair(value: Any) -> tuple[float, float]:
    """[low, high], or a number for [-number, number]."""
    return (value[0], value[1]) if isinstance(value, list) else (-value, value)


def _level(value: Any) -> float | None:
    """A fill with one grey level for all channels, else None."""
    plain = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 255
    return float(value) if plain else None


def _warped(arguments: Arguments) -> tuple[str, float] | None:
    """Border and fill of a warp; None if it is not bilinear or wraps around."""
    fill = _level(arguments.get("fill", 0))
    border = arguments.get("border_mode", "constant")
    if arguments.get("interpolation", "linear") != "linear" or border not in kernels.BORDERS or fill is None:
        return None
    return border, fill if border == "constant" else 0.0


def _no_op(arguments: Arguments, slot: int, height: int, width: int) -> Apply | None:
    return lambda images, draws: images


def _horizontal_flip(arguments: Arguments, slot: int, height: int, width: int) -> Apply | None:
    return lambda images, draws: images.flip(3)


def _vertical_flip(arguments: Arguments, slot: int, height: int, width: int) -> Apply | None:
    return lambda images, draws: images.flip(2)


def _rotate(arguments: Arguments, slot: int, height: int, width: int) -> Apply | None:
    warped, limit = _warped(arguments), _pair(arguments["limit"])
    if warped is None or min(height, width) < 2:
        return None
    border, fill = warped

    def apply(images: Tensor, draws: Draws) -> Tensor:
        one, none = np.ones(len(draws)), np.zeros(len(draws))
        matrices = kernels.affine(
            height=height, width=width, scale_x=one, scale_y=one, rotate=draws.uniform(slot, *limit),
            shear_x=none, shear_y=none, shift_x=none, shift_y=none,
        )  # fmt: skip
        return kernels.warp(images, matrices, border=border, fill=fill)

    return apply


def _affine(arguments: Arguments, slot: int, height: int, width: int) -> Apply | None:
    warped = _warped(arguments)
    both = arguments.get("translate_percent") is not None and arguments.get("translate_px") is not None
    if warped is None or both or arguments.get("balanced_scale") or min(height, width) < 2:
        return None
    border, fill = warped
    scale, rotate, shear = (
        arguments.get(name) or default for name, default in (("scale", (1, 1)), ("rotate", (0, 0)), ("shear", (0, 0)))
    )
    percent, pixels = arguments.get("translate_percent"), arguments.get("translate_px")
    same = bool(arguments.get("keep_ratio"))

    def shift(draws: Draws, slot: int, side: int) -> NDArray[np.float64]:
        if percent is not None:
            return np.trunc(draws.uniform(slot, *percent) * side)
        low, high = (0, 0) if pixels is None else (int(pixels[0]), int(pixels[1]))
        return draws.integers(slot, low, high).astype(np.float64)

    def apply(images: Tensor, draws: Draws) -> Tensor:
        matrices = kernels.affine(
            height=height, width=width,
            scale_x=draws.uniform(slot, *scale), scale_y=draws.uniform(slot if same else slot + 1, *scale),
            rotate=draws.uniform(slot + 2, *rotate),
            shear_x=-draws.uniform(slot + 3, *shear), shear_y=-draws.uniform(slot + 4, *shear),
            shift_x=shift(draws, slot + 5, width), shift_y=shift(draws, slot + 6, height),
        )  # fmt: skip
        return kernels.warp(images, matrices, border=border, fill=fill)

    return apply


def _resized_crop(arguments: Arguments, slot: int, height: int, width: int) -> Apply | None:
    if arguments.get("interpolation", "linear") != "linear" or min(height, width) < 2:
        return None
    scale, ratio = arguments["scale"], arguments["ratio"]
    # the fallback if no attempt fits: the largest centred box within the ratio
    shape = width / height
    last_width = min(width, round(height * ratio[1])) if shape > ratio[1] else width
    last_height = min(height, round(width / ratio[0])) if shape < ratio[0] else height

    def apply(images: Tensor, draws: Draws) -> Tensor:
        wide, high = np.full(len(draws), last_width), np.full(len(draws), last_height)
        fitted = np.zeros(len(draws), dtype=bool)
        for attempt in range(ATTEMPTS):
            area = draws.uniform(slot + 2 * attempt, scale[0], scale[1]) * (height * width)
            shape = np.exp(draws.uniform(slot + 2 * attempt + 1, np.log(ratio[0]), np.log(ratio[1])))
            across, down = np.rint(np.sqrt(area * shape)), np.rint(np.sqrt(area / shape))
            fits = ~fitted & (across > 0) & (across <= width) & (down > 0) & (down <= height)
            wide, high = np.where(fits, across, wide), np.where(fits, down, high)
            fitted |= fits
        after = slot + 2 * ATTEMPTS
        left = np.where(fitted, np.floor(draws.uniform(after) * (width - wide + 1)), (width - wide) // 2)
        top = np.where(fitted, np.floor(draws.uniform(after + 1) * (height - high + 1)), (height - high) // 2)
        return kernels.crop(images, np.stack([left, top, wide, high], 1).astype(np.int64))

    return apply


def _tone(arguments: Arguments, slot: int, height: int, width: int) -> Apply | None:
    if not arguments.get("brightness_by_max", True) or arguments.get("ensure_safe_range"):
        return None
    brightness, contrast = _pair(arguments["brightness_limit"]), _pair(arguments["contrast_limit"])

    def apply(images: Tensor, draws: Draws) -> Tensor:
        return kernels.tone(images, 1 + draws.uniform(slot, *contrast), 255 * draws.uniform(slot + 1, *brightness))

    return apply


def _colour(arguments: Arguments, slot: int, height: int, width: int) -> Apply | None:
    limits = [_pair(arguments[f"{name}_shift_limit"]) for name in ("hue", "sat", "val")]

    def apply(images: Tensor, draws: Draws) -> Tensor:
        return kernels.colour(images, *(draws.uniform(slot + at, *limit) for at, limit in enumerate(limits)))

    return apply


def _blur(arguments: Arguments, slot: int, height: int, width: int) -> Apply | None:
    low, high = arguments["sigma_limit"]
    if low <= 0 or int(high * 3.5) >= min(height, width):
        return None
    return lambda images, draws: kernels.blur(images, draws.uniform(slot, low, high))


def _holes(arguments: Arguments, slot: int, height: int, width: int) -> Apply | None:
    fill = _level(arguments.get("fill", 0))
    fewest, most = arguments.get("num_holes_range") or (1, 2)
    tall, wide = arguments["hole_height_range"], arguments["hole_width_range"]
    if fill is None or most > 64 or tall[1] >= 1:
        return None

    def apply(images: Tensor, draws: Draws) -> Tensor:
        counts = draws.integers(slot, fewest, most)
        holes = np.zeros((len(draws), most, 4), dtype=np.int64)
        for hole in range(most):
            at = slot + 1 + 4 * hole
            high = (height * draws.uniform(at, *tall)).astype(np.int64)
            across = (width * draws.uniform(at + 1, *wide)).astype(np.int64)
            top, left = draws.integers(at + 2, 0, height - high), draws.integers(at + 3, 0, width - across)
            drawn = np.stack([left, top, left + across, top + high], 1)
            holes[:, hole] = np.where((hole < counts)[:, None], drawn, 0)
        return kernels.erase(images, holes, fill)

    return apply


def _erasing(arguments: Arguments, slot: int, height: int, width: int) -> Apply | None:
    fill = _level(arguments.get("fill", 0))
    low, high = arguments["scale"]
    thin, flat = arguments.get("ratio") or (0.3, 3.3)
    area = height * width
    most = min(area * high, thin * height * height, width * width / flat)
    if fill is None or thin <= 0 or low <= 0 or most < area * low:
        return None

    def apply(images: Tensor, draws: Draws) -> Tensor:
        covered = draws.uniform(slot, area * low, most)
        least = np.maximum(thin, covered / height**2)
        shape = least + draws.uniform(slot + 1) * (np.minimum(flat, width**2 / covered) - least)
        tall, wide = (np.rint(np.sqrt(each)).astype(np.int64) for each in (covered / shape, covered * shape))
        top, left = draws.integers(slot + 2, 0, height - tall), draws.integers(slot + 3, 0, width - wide)
        return kernels.erase(images, np.stack([left, top, left + wide, top + tall], 1)[:, None], fill)

    return apply


#: By name; the arguments are the transform's, the first slot it may draw from, and the images' height and width.
MAKERS: dict[str, Callable[[Arguments, int, int, int], Apply | None]] = {
    "NoOp": _no_op,
    "HorizontalFlip": _horizontal_flip,
    "VerticalFlip": _vertical_flip,
    "Rotate": _rotate,
    "Affine": _affine,
    "RandomResizedCrop": _resized_crop,
    "RandomBrightnessContrast": _tone,
    "HueSaturationValue": _colour,
    "GaussianBlur": _blur,
    "CoarseDropout": _holes,
    "Erasing": _erasing,
}
