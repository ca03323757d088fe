"""A generator for tiny data: mixtures of neighbours in the principal components of a class.

A new image interpolates between an image of the class and one of its nearest neighbours in the class's principal
components (SMOTE, Chawla et al. 2002), plus noise with the deviation of the reconstruction error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import numpy as np

from hallmark.contracts.seeds import derive
from hallmark.statistics.neighbours import nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hallmark.synthesis.generator import Images, Labels

VARIANCE = 0.9  # share that the components keep
NEIGHBOURS = 8
BETWEEN = (0.35, 0.65)  # how far towards the neighbour: nearer to either end would be a copy


@final
class LatentMixup:
    """Fitted on images uint8 [n, height, width, channels] with labels int64 [n]."""

    def __init__(self, images: Images, labels: Labels) -> None:
        self._shape = images.shape[1:]
        self._classes = {int(label): _Plane(images[labels == label]) for label in np.unique(labels)}

    def __call__(self, labels: Labels, *, seed: int) -> Images:
        out = np.empty((len(labels), *self._shape), dtype=np.uint8)
        for label in np.unique(labels):
            at = np.flatnonzero(labels == label)
            random = np.random.default_rng(derive(seed, "synthesize", "mixup", int(label)))
            out[at] = self._classes[int(label)].draw(len(at), random).reshape(-1, *self._shape)
        return out


class _Plane:
    """The principal components of one class's images."""

    def __init__(self, images: Images) -> None:
        flat = images.reshape(len(images), -1).astype(np.float64)
        self._mean = flat.mean(axis=0)
        _, sizes, axes = np.linalg.svd(flat - self._mean, full_matrices=False)
        explained = np.cumsum(sizes**2) / max(float((sizes**2).sum()), 1e-12)
        self._axes = axes[: int(np.searchsorted(explained, VARIANCE)) + 1]
        self._latent = (flat - self._mean) @ self._axes.T
        rest = flat - self._mean - self._latent @ self._axes
        self._rest = rest.std(axis=0)
        own = np.arange(len(images))
        self._near = own[:, None]  # a class of one image has no neighbour but itself
        if len(own) > 1:
            self._near = nearest(self._latent, self._latent, k=min(NEIGHBOURS, len(own) - 1), but=own)[1]

    def draw(self, count: int, random: np.random.Generator) -> NDArray[np.uint8]:
        """Images uint8 [count, pixels]."""
        one = random.integers(len(self._latent), size=count)
        other = self._near[one, random.integers(self._near.shape[1], size=count)]
        share = random.uniform(*BETWEEN, size=(count, 1))
        latent = (1 - share) * self._latent[one] + share * self._latent[other]
        noise = random.normal(size=(count, len(self._mean))) * self._rest
        out: NDArray[np.uint8] = np.clip(np.rint(self._mean + latent @ self._axes + noise), 0, 255).astype(np.uint8)
        return out
