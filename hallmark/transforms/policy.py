"""A policy as a function of (image, seed).

albumentations creates its generators once per Compose, independent of epochs and workers. Here all transforms share two
generators that are reseeded for each image: the result depends on (image, seed) only, not on earlier images or the
process. NumPy's counter-based Philox takes the seed as its key, which avoids the hashing of a new generator.

>>> policy = build([{"name": "Rotate", "p": 1.0, "arguments": {"limit": [90, 90]}}], height=2, width=2, channels=1)
>>> policy(np.array([[[1], [2]], [[3], [4]]], dtype=np.uint8), seed=0)[:, :, 0].tolist()
[[2, 4], [1, 3]]
"""

from __future__ import annotations

import os
import random
import warnings
from typing import TYPE_CHECKING, Any, final

import numpy as np

from hallmark.contracts.errors import InputError
from hallmark.transforms.catalogue import BORDERS, CATALOGUE, INTERPOLATIONS
from hallmark.transforms.policy_schema import GROUPS, check

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from hallmark.transforms.catalogue import Transform

    Image = NDArray[np.uint8]


@final
class Policy:
    """Maps (uint8 image [height, width, channels], seed in [0, 2**63)) to an image of the same shape and type.

    Can be pickled. Not thread-safe: calls share the two generators.
    """

    def __init__(self, steps: Sequence[Any], *, height: int, width: int, channels: int) -> None:
        self.shape = (height, width, channels)
        self._steps = list(steps)
        self._python = random.Random()  # noqa: S311  augmentation, no secrets
        self._numpy = np.random.Generator(np.random.Philox(key=0))
        self._state: Any = self._numpy.bit_generator.state
        for step in self._steps:
            step.set_random_state(self._numpy, self._python)

    def __call__(self, image: Image, seed: int) -> Image:
        assert image.shape == self.shape, f"image is {image.shape}, the policy was built for {self.shape}"
        if not self._steps:
            return image
        self._python.seed(seed)
        self._state["state"]["key"][0] = seed
        self._numpy.bit_generator.state = self._state
        out = image
        for step in self._steps:
            out = step(image=out)["image"]
        if out.shape[:2] != self.shape[:2]:  # a quarter turn of an image that is not square
            out = _resized(out, self.shape)
        return out


def build(transforms: list[dict[str, Any]], *, height: int, width: int, channels: int) -> Policy:
    """The policy for images of one size; ``transforms`` as in policy.json, ``channels`` 1 or 3.

    Colour transforms are left out on one channel. Raises InputError for a transform or argument that is not in the
    catalogue, or a value that albumentations rejects.
    """
    assert channels in (1, 3), f"{channels} channels; images have 1 or 3"
    checked = check(transforms, field="policy")
    steps = (_step(each, height, width, channels, f"policy[{at}]") for at, each in enumerate(checked))
    return Policy([step for step in steps if step is not None], height=height, width=width, channels=channels)


def _step(transform: Transform, height: int, width: int, channels: int, field: str) -> Any:
    """One albumentations object, or None if it has no effect on one channel."""
    # the package checks the index for a newer version at import
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations

    name, arguments = transform["name"], dict(transform["arguments"])
    if name in GROUPS:
        members = [_step(each, height, width, channels, field) for each in arguments.pop("transforms")]
        members = [member for member in members if member is not None]
        if not members:
            return None
        if name == "SomeOf":
            return albumentations.SomeOf(members, n=min(arguments["n"], len(members)), replace=False, p=transform["p"])
        return albumentations.OneOf(members, p=transform["p"])
    if CATALOGUE[name].colour and channels == 1:
        return None
    for key, words in (("interpolation", INTERPOLATIONS), ("border_mode", BORDERS)):
        if key in arguments:
            arguments[key] = words[arguments[key]]
    if name == "RandomResizedCrop":
        arguments["size"] = (height, width)
    if name == "GaussianBlur":
        arguments["blur_limit"] = 0  # the kernel follows from sigma
    arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return getattr(albumentations, name)(**arguments, p=transform["p"])
    except (ValueError, TypeError, UserWarning) as error:
        words_of_it = " ".join(str(error).split("For further information")[0].split())
        raise InputError(f"{field}: {name} rejects its arguments {arguments}: {words_of_it}") from error


def _resized(image: Image, shape: tuple[int, int, int]) -> Image:
    import cv2

    out: Image = cv2.resize(image, (shape[1], shape[0]), interpolation=cv2.INTER_AREA).reshape(shape)
    return out
