"""Robustness: perturbations that a camera causes (noise, blur, brightness), applied to prepared images.

A perturbation maps a batch uint8 [b, height, width, channels] to float32 in [0, 1] of the same shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from hallmark.contracts.seeds import derive
from hallmark.judgement import assessment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from hallmark.judgement.judged import Judged
    from hallmark.statistics.intervals import Estimate

KINDS = ("noise", "blur", "brightness")


@dataclass(frozen=True)
class Perturbation:
    """One kind of change at one strength.

    ``noise``: standard deviation of Gaussian noise, in [0, 1] of the range. ``blur``: standard deviation of the
    Gaussian as a share of the shorter side. ``brightness``: an offset in [-1, 1]. Noise derives from the seed and the
    image's index in the set, so it does not depend on the batch size.
    """

    kind: str
    strength: float
    seed: int

    @property
    def name(self) -> str:
        """Its name in reports.

        >>> Perturbation("brightness", -0.1, 0).name
        'brightness -0.1'
        """
        return f"{self.kind} {self.strength:+g}" if self.kind == "brightness" else f"{self.kind} {self.strength:g}"

    def apply(self, batch: NDArray[np.uint8], first: int) -> NDArray[np.float32]:
        """The perturbed batch; ``first`` is the index of its first image in the set."""
        images = batch.astype(np.float32) / 255
        if self.kind == "noise":
            drawn = np.stack([self._noise(first + offset, images.shape[1:]) for offset in range(len(images))])
            images = images + self.strength * drawn
        elif self.kind == "blur":
            sigma = self.strength * min(images.shape[1:3])
            images = ndimage.gaussian_filter(images, sigma=(0, sigma, sigma, 0), mode="nearest")
        else:
            images = images + np.float32(self.strength)
        return np.asarray(np.clip(images, 0, 1), dtype=np.float32)

    def _noise(self, position: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
        generator = np.random.default_rng(derive(self.seed, "robustness", self.kind, position))
        return generator.standard_normal(shape, dtype=np.float32)


def perturbations(strengths: Mapping[str, Sequence[float]], *, seed: int) -> list[Perturbation]:
    """Every kind at each of its ``strengths``, in the order of :data:`KINDS`."""
    return [Perturbation(kind, strength, seed) for kind in KINDS for strength in strengths[kind]]


def judge(judged: Judged, after: Mapping[str, Judged], *, replicates: int, seed: int) -> dict[str, dict[str, Estimate]]:
    """``accuracy`` under each perturbation and its ``change`` from the original images, by the perturbation's name."""
    draw = {"replicates": replicates, "seed": seed}
    return {
        name: {
            "accuracy": assessment.accuracy(perturbed, **draw),
            "change": assessment.accuracy_change(judged, perturbed, **draw),
        }
        for name, perturbed in after.items()
    }
