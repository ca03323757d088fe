"""A policy applied to a whole batch at once, on the CPU or a GPU: the same transforms with the same distributions.

albumentations spends most of its time between images. This module draws the parameters of all images together, from
:mod:`hallmark.transforms.draws`, and runs each transform as one tensor operation on the selected images. Transforms
without an equivalent here run in albumentations, image by image.

>>> policy = build([{"name": "HorizontalFlip", "p": 1.0}], height=2, width=2, channels=1)
>>> from hallmark.transforms.draws import keys
>>> image = torch.tensor([[[[1], [2]], [[3], [4]]]], dtype=torch.uint8)
>>> policy(image, keys(seed=0, rows=np.array([0]), positions=np.array([0])))[0, :, :, 0].tolist()
[[2, 1], [4, 3]]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from torch import Tensor

from hallmark.transforms import policy
from hallmark.transforms.catalogue import CATALOGUE
from hallmark.transforms.draws import Draws
from hallmark.transforms.policy_schema import GROUPS, check
from hallmark.transforms.tensor_transforms import MAKERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from hallmark.transforms.catalogue import Transform
    from hallmark.transforms.tensor_transforms import Apply

SLOTS = 4096  # random quantities per transform and image
CHUNK = 1 << 20  # float32 values processed at once: they fit in a core's cache
LARGEST = 48  # side in pixels up to which batches are faster on a CPU; OpenCV's loops win on larger images


@dataclass(frozen=True, kw_only=True)
class _Step:
    """Runs ``apply`` on each image with probability ``p``, drawn from ``slot``."""

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
    """Runs ``apply`` on the chosen images, in place."""
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
        #: whether every transform is a tensor operation, so that images stay on the GPU
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
    """The batched form of :func:`policy.build`; raises InputError for the same faults.

    ``known_good`` skips that check for policies built before: albumentations is then imported only where needed.
    """
    if not known_good:
        policy.build(transforms, height=height, width=width, channels=channels)
    checked = check(transforms, field="policy")
    steps = [_step(each, number * SLOTS, height, width, channels) for number, each in enumerate(checked)]
    return Batched([step for step in steps if step], height=height, width=width, channels=channels)


def executor(transforms: list[dict[str, Any]], *, height: int, width: int, channels: int, device: str) -> str:
    """``batched`` or ``per_image``, by image size and device type. The two draw different random numbers.

    On a GPU batches pay off if every transform has a tensor equivalent; on a CPU up to :data:`LARGEST` pixels a side if
    at least one has.
    """
    checked = check(transforms, field="policy")
    built = [_step(each, number * SLOTS, height, width, channels) for number, each in enumerate(checked)]
    steps = [step for step in built if step]
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
    make = MAKERS.get(name)
    apply = make(transform["arguments"], slot + 1, height, width) if make is not None else None
    if apply is not None:
        return _Step(p=transform["p"], slot=slot, apply=apply, equivalent=True)
    members = transform["arguments"].get("transforms") if name in GROUPS else None
    if members is not None and channels == 1 and all(CATALOGUE[each["name"]].colour for each in members):
        return None
    apply = _per_image(transform, slot + 1, height, width, channels)
    return _Step(p=transform["p"], slot=slot, apply=apply, equivalent=False)


def _one_of(transform: Transform, slot: int, height: int, width: int, channels: int) -> _Step | None:
    """One member per image, drawn by their probabilities."""
    share = SLOTS // 64
    members = []
    for number, member in enumerate(transform["arguments"]["transforms"]):
        step = _step({**member, "p": 1.0}, slot + (number + 1) * share, height, width, channels)
        if step is not None:
            members.append((member["p"], step))
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
    """albumentations on each image, seeded from the image's key."""
    augment = policy.build([{**transform, "p": 1.0}], height=height, width=width, channels=channels)

    def apply(images: Tensor, draws: Draws) -> Tensor:
        pixels = images.to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
        seeds = (draws.bits(slot) >> np.uint64(1)).tolist()
        done = np.stack([augment(image, seed) for image, seed in zip(pixels, seeds, strict=True)])
        return torch.from_numpy(done).permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)

    return apply
