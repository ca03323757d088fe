"""Real digits, 8 × 8 grey, as the gates and generators see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.datasets import load_digits

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Digits:
    """Training and validation images uint8 [n, 8, 8, 1], labels int64 [n]; ``more`` is neither."""

    train: NDArray[np.uint8]
    labels: NDArray[np.int64]
    val: NDArray[np.uint8]
    truth: NDArray[np.int64]
    more: NDArray[np.uint8]
    more_labels: NDArray[np.int64]


@pytest.fixture(scope="session")
def digits_split() -> Digits:
    """Five classes, 80 training, 40 validation and 40 further images each."""
    bunch = load_digits()
    parts: list[list[NDArray[np.int64]]] = [[], [], []]
    for label in range(5):
        at = np.flatnonzero(bunch.target == label)
        for part, (start, stop) in zip(parts, ((0, 80), (80, 120), (120, 160)), strict=True):
            part.append(at[start:stop])
    pixels = (bunch.images * 15.9375).astype(np.uint8)[..., None]
    train, val, more = (np.concatenate(part) for part in parts)
    labels = bunch.target.astype(np.int64)
    return Digits(
        train=pixels[train], labels=labels[train], val=pixels[val], truth=labels[val], more=pixels[more],
        more_labels=labels[more],
    )  # fmt: skip
