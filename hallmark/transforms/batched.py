"""A policy applied to a whole batch at once, on the CPU or a GPU: the same transforms with the same distributions.

albumentations spends most of its time between images. Here the parameters of all images are drawn together, from
:mod:`hallmark.transforms.draws`, and each transform is one tensor operation on the images it falls to. What has no
equivalent here is done by albumentations, image by image, on those images alone.

>>> policy = build([{"name": "HorizontalFlip", "p": 1.0}], height=2, width=2, channels=1)
>>> from hallmark.transforms.draws import keys
>>> image = torch.tensor([[[[1], [2]], [[3], [4]]]], dtype=torch.uint8)
>>> policy(image, keys(seed=0, rows=np.array([0]), places=np.array([0])))[0, :, :, 0].tolist()
[[2, 1], [4, 3]]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from torch import Tensor

from hallmark.transforms import kernels, policy
from hallmark.transforms.catalogue import CATALOGUE
from hallmark.transforms.draws import Draws
from hallmark.transforms.policy_schema import GROUPS, check

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from hallmark.transforms.catalogue import Transform

    Apply = Callable[[Tensor, Draws], Tensor]

SLOTS = 4096  # quantities a transform may draw for an image
ATTEMPTS = 10  # at a crop that fits, as albumentations makes
CHUNK = 1 << 20  # values of float32 in work at once: what a core's cache holds
LARGEST = 48  # pixels a side up to which a CPU gains by batches: OpenCV's own loops win on larger images


@dataclass(frozen=True, kw_only=True)
class _Step:
    """``apply`` acts on the images that a draw of probability ``p`` in ``slot`` falls to."""

    p: float
    slot: int
    apply: Apply
    equivalent: bool

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        if self.p >= 1:
            return self.apply(images, draws)
        chosen = np.flatnonzero(draws.uniform(self.slot) < self.p)
        return _on(images, chosen, draws, self.apply)


def _on(images: Tensor, chosen: NDArray[np.int64], draws: Draws, apply: Apply) -> Tensor:
    """The images with ``apply`` done to some of them, in place."""
    if len(chosen) == len(images):
        return apply(images, draws)
    if len(chosen):
        index = torch.from_numpy(chosen).to(images.device, non_blocking=True)
        images.index_copy_(0, index, apply(images.index_select(0, index), draws.at(chosen)))
    return images


@final
class Batched:
    """Maps (uint8 images [n, h, w, c] on any device, keys uint64 [n]) to uint8 images of the same shape and device."""

    def __init__(self, steps: Sequence[_Step], *, height: int, width: int, channels: int) -> None:
        self.shape = (height, width, channels)
        self._steps = list(steps)
        #: whether every transform is one tensor operation, so that images need not leave a GPU
        self.whole = all(step.equivalent for step in steps)

    def __call__(self, images: Tensor, keys: NDArray[np.uint64]) -> Tensor:
        assert tuple(images.shape[1:]) == self.shape, f"images are {tuple(images.shape)}, not [n, {self.shape}]"
        if not self._steps:
            return images
        size = len(images)
        if images.device.type == "cpu":
            size = max(1, CHUNK // (self.shape[0] * self.shape[1] * self.shape[2]))
        out = torch.empty_like(images)
        for start in range(0, len(images), size):
            draws = Draws(keys[start : start + size])
            planes = images[start : start + size].permute(0, 3, 1, 2)
            values = planes.to(torch.float32, memory_format=torch.contiguous_format)
            for step in self._steps:
                values = step(values, draws)
            out[start : start + size] = values.to(torch.uint8).permute(0, 2, 3, 1)
        return out


def build(
    transforms: list[dict[str, Any]], *, height: int, width: int, channels: int, known_good: bool = False
) -> Batched:
    """As :func:`policy.build`, which raises InputError for the same faults.

    ``known_good`` policies were built before: albumentations is imported only for what has no equivalent here.
    """
    if not known_good:
        policy.build(transforms, height=height, width=width, channels=channels)
    checked = check(transforms, where="policy")
    made = [_step(each, number * SLOTS, height, width, channels) for number, each in enumerate(checked)]
    return Batched([step for step in made if step], height=height, width=width, channels=channels)


def executor(transforms: list[dict[str, Any]], *, height: int, width: int, channels: int, device: str) -> str:
    """``batched`` or ``per_image``: what suits the size and the device's type. It decides what is drawn.

    On a GPU a batch is worth it where no image has to leave it; on a CPU up to :data:`LARGEST` pixels a side, where at
    least one transform is done by the batch.
    """
    checked = check(transforms, where="policy")
    made = [_step(each, number * SLOTS, height, width, channels) for number, each in enumerate(checked)]
    steps = [step for step in made if step]
    if device != "cpu":
        return "batched" if all(step.equivalent for step in steps) else "per_image"
    some = any(step.equivalent for step in steps)
    return "batched" if some and max(height, width) <= LARGEST else "per_image"


def _step(transform: Transform, slot: int, height: int, width: int, channels: int) -> _Step | None:
    name = transform["name"]
    if name == "OneOf":
        return _one_of(transform, slot, height, width, channels)
    if name in CATALOGUE and CATALOGUE[name].colour and channels == 1:
        return None
    make = _MAKERS.get(name)
    apply = make(transform["arguments"], slot + 1, height, width) if make is not None else None
    if apply is not None:
        return _Step(p=transform["p"], slot=slot, apply=apply, equivalent=True)
    members = transform["arguments"].get("transforms") if name in GROUPS else None
    if members is not None and channels == 1 and all(CATALOGUE[each["name"]].colour for each in members):
        return None
    apply = _per_image(transform, slot + 1, height, width, channels)
    return _Step(p=transform["p"], slot=slot, apply=apply, equivalent=False)


def _one_of(transform: Transform, slot: int, height: int, width: int, channels: int) -> _Step | None:
    """One of the members for each image, by their probabilities."""
    share = SLOTS // 64
    members = []
    for number, member in enumerate(transform["arguments"]["transforms"]):
        made = _step({**member, "p": 1.0}, slot + (number + 1) * share, height, width, channels)
        if made is not None:
            members.append((member["p"], made))
    if not members:
        return None
    bounds = np.cumsum([p for p, _ in members])
    bounds = bounds / bounds[-1]

    def apply(images: Tensor, draws: Draws) -> Tensor:
        numbers = np.searchsorted(bounds, draws.uniform(slot + 1), side="right")
        for number, (_, step) in enumerate(members):
            images = _on(images, np.flatnonzero(numbers == number), draws, step.apply)
        return images

    equivalent = all(step.equivalent for _, step in members)
    return _Step(p=transform["p"], slot=slot, apply=apply, equivalent=equivalent)


def _per_image(transform: Transform, slot: int, height: int, width: int, channels: int) -> Apply:
    """albumentations on each image, its generators seeded from the image's key."""
    made = policy.build([{**transform, "p": 1.0}], height=height, width=width, channels=channels)

    def apply(images: Tensor, draws: Draws) -> Tensor:
        pixels = images.to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
        seeds = (draws.bits(slot) >> np.uint64(1)).tolist()
        done = np.stack([made(image, seed) for image, seed in zip(pixels, seeds, strict=True)])
        return torch.from_numpy(done).permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)

    return apply


# --- one transform each: what to draw, and what to do with it; None where the arguments have no equivalent

Arguments = dict[str, Any]


def _pair(value: Any) -> tuple[float, float]:
    """[low, high], or a number for [-number, number]."""
    return (value[0], value[1]) if isinstance(value, list) else (-value, value)


def _level(value: Any) -> float | None:
    """A fill that is one grey level for all channels; None for others."""
    plain = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 255
    return float(value) if plain else None


def _warped(arguments: Arguments) -> tuple[str, float] | None:
    """Border and fill of a warp; None where it is not bilinear, or wraps around."""
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
    # where no attempt fits: the largest centred box whose shape is within the ratio
    shape = width / height
    last_width = min(width, round(height * ratio[1])) if shape > ratio[1] else width
    last_height = min(height, round(width / ratio[0])) if shape < ratio[0] else height

    def apply(images: Tensor, draws: Draws) -> Tensor:
        wide, high = np.full(len(draws), last_width), np.full(len(draws), last_height)
        found = np.zeros(len(draws), dtype=bool)
        for attempt in range(ATTEMPTS):
            area = draws.uniform(slot + 2 * attempt, scale[0], scale[1]) * (height * width)
            shape = np.exp(draws.uniform(slot + 2 * attempt + 1, np.log(ratio[0]), np.log(ratio[1])))
            across, down = np.rint(np.sqrt(area * shape)), np.rint(np.sqrt(area / shape))
            fits = ~found & (across > 0) & (across <= width) & (down > 0) & (down <= height)
            wide, high = np.where(fits, across, wide), np.where(fits, down, high)
            found |= fits
        after = slot + 2 * ATTEMPTS
        left = np.where(found, np.floor(draws.uniform(after) * (width - wide + 1)), (width - wide) // 2)
        top = np.where(found, np.floor(draws.uniform(after + 1) * (height - high + 1)), (height - high) // 2)
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


_MAKERS: dict[str, Callable[[Arguments, int, int, int], Apply | None]] = {
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
