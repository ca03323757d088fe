"""The linear baseline: a classifier on simple features that shows what needs no network.

Linear discriminant analysis (Fisher 1936) with Ledoit-Wolf shrinkage of the pooled covariance (2004): closed form,
without hyperparameters, deterministic. Features are oriented gradients and colours of 32-pixel thumbnails, each
projected on at most 96 principal components of the training images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from hallmark.quality import embedding
from hallmark.statistics.components import Components
from hallmark.statistics.temperature import softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

FEATURES = "oriented gradients and colours of 32-pixel thumbnails"
_JITTER = 1e-9


def features(fitted_on: NDArray[np.uint8], *others: NDArray[np.uint8]) -> list[Floats]:
    """Features ``[images, dimensions]`` of thumbnails uint8 ``[images, 32, 32, 3]``; components fitted on the first."""
    parts: list[list[NDArray[np.float32]]] = [[] for _ in range(1 + len(others))]
    for kind in (embedding.gradients, embedding.colours):
        raw = [kind(thumbnails) for thumbnails in (fitted_on, *others)]
        components = Components.fit(raw[0])
        for position, each in enumerate(raw):
            parts[position].append(components.of(each))
    return [np.concatenate(kinds, axis=1).astype(np.float64) for kinds in parts]


@dataclass(frozen=True, eq=False)
class Moments:
    """The sufficient statistics of one class for the mean: number of images and their sum ``[d]``."""

    n: int
    total: Floats

    @staticmethod
    def of(images: Floats) -> Moments:
        """The moments of ``[images, d]``."""
        return Moments(len(images), images.sum(axis=0))


def scatter(images: Floats) -> Floats:
    """The scatter matrix ``[d, d]`` of ``[images, d]`` about their mean."""
    centred = images - images.mean(axis=0) if len(images) else images
    return np.asarray(centred.T @ centred)


def shrinkage(images: Floats, label: Integers, classes: int) -> float:
    """The Ledoit-Wolf shrinkage of the pooled covariance of ``[images, d]`` towards a sphere, in [0, 1]."""
    from sklearn.covariance import ledoit_wolf_shrinkage

    count = np.maximum(np.bincount(label, minlength=classes), 1)
    means = np.stack([np.bincount(label, column, minlength=classes) / count for column in images.T], axis=1)
    return float(ledoit_wolf_shrinkage(images - means[label], assume_centered=True))


@dataclass(frozen=True, eq=False)
class Linear:
    """Scores ``images @ weights + bias``, ``[images, classes]``."""

    weights: Floats
    bias: Floats

    @staticmethod
    def fit(moments: list[Moments], within: Floats, *, shrink: float, even: bool) -> Linear:
        """Fits on the moments of each class and ``within``, the sum of their scatter matrices.

        ``even`` gives every class the same prior, else the prior is its share of the images. A class without images is
        never predicted.
        """
        count = np.array([each.n for each in moments], dtype=np.float64)
        means = np.stack([each.total / max(each.n, 1) for each in moments])
        pooled = within / max(count.sum(), 1.0)
        size = len(pooled)
        sphere = max(float(np.trace(pooled)) / size, _JITTER)
        covariance = (1 - shrink) * pooled
        covariance[np.diag_indices(size)] += (shrink + _JITTER) * sphere
        weights: Floats = cho_solve(cho_factor(covariance), means.T)
        prior = np.where(count > 0, 1.0 if even else count, 0.0)
        with np.errstate(divide="ignore"):
            bias = np.log(prior / prior.sum()) - 0.5 * (means.T * weights).sum(axis=0)
        return Linear(weights, bias)

    def predict(self, images: Floats) -> Floats:
        """Probabilities ``[images, classes]`` of ``[images, d]``."""
        return softmax(images @ self.weights + self.bias)
