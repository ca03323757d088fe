"""Real images for the room's tests: the bundled handwritten digits."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
from sklearn.datasets import load_digits

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Digits(NamedTuple):
    """uint8 [n, 8, 8, 1] and int64 [n], for fitting and for judging."""

    train: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    val: NDArray[np.uint8]
    val_labels: NDArray[np.int64]


@pytest.fixture(scope="session")
def digits() -> Digits:
    bunch = load_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    labels = bunch.target.astype(np.int64)
    return Digits(images[:1200], labels[:1200], images[1200:], labels[1200:])
