"""Strategies against class imbalance: how often each training image is shown, and its weight in the loss.

A plan has one row per training image; no image is copied and no other split is changed.

============================  =========================================================================
``none``                      every image once
``class_weights``             loss weights by class: ``inverse`` of the class's count, or of its effective
                              number of samples (Cui et al. 2019, "Class-Balanced Loss")
``oversample``                images of smaller classes repeated up to the largest class's count
``undersample``               images of larger classes left out down to the smallest class's count
``weighted_sampler``          images drawn with replacement, classes in proportion to count ** (1 - power)
``repeat_factor``             classes below a frequency repeated sqrt(threshold / frequency) times
                              (Gupta et al. 2019, "LVIS")
``logit_adjustment``          loss on logits shifted by tau * log(prior) (Menon et al. 2021)
``focal``                     loss reduced on easy images, (1 - p) ** gamma (Lin et al. 2017)
``auto``                      one of them, chosen by the imbalance
============================  =========================================================================

>>> decide({"cat": 90, "dog": 60}, mild=2.0, severe=20.0)
('none', 'the largest class has 1.5 times the images of the smallest, below balance.auto_mild (2)')
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

import numpy as np

from hallmark.contracts.seeds import derive

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

Counts = dict[str, int]


def decide(counts: Mapping[str, int], *, mild: float, severe: float) -> tuple[str, str]:
    """(strategy, reason) for ``auto``: by how many times the largest class outnumbers the smallest.

    Below ``mild`` nothing changes. Up to ``severe`` the loss is weighted: no image is shown more often than another, so
    rare classes do not overfit more. Above, such weights let single images dominate the gradient and lose their effect
    on networks that separate the training set (Byrd & Lipton 2019); logit adjustment stays consistent for the balanced
    error (Menon et al. 2021).
    """
    largest, smallest = max(counts.values()), min(counts.values())
    ratio = largest / smallest
    words = f"the largest class has {ratio:.3g} times the images of the smallest"
    if ratio < mild:
        return "none", f"{words}, below balance.auto_mild ({mild:g})"
    if ratio < severe:
        return "class_weights", f"{words}, between balance.auto_mild ({mild:g}) and balance.auto_severe ({severe:g})"
    return "logit_adjustment", f"{words}, at least balance.auto_severe ({severe:g})"


def class_weights(counts: Mapping[str, int], *, scheme: str, beta: float) -> dict[str, float]:
    """The loss weight of each class; they average 1 over the training images, so the learning rate needs no change.

    ``inverse``: 1 / n. ``effective_number``: (1 - beta) / (1 - beta ** n), between none (beta 0) and inverse (beta 1).
    """
    if scheme == "inverse" or beta == 1.0:
        raw = {label: 1.0 / count for label, count in counts.items()}
    else:
        # expm1 keeps the digits that 1 - beta ** n loses where beta is near 1
        raw = {
            label: (1.0 - beta) / -math.expm1(count * math.log(beta)) if beta else 1.0
            for label, count in counts.items()
        }
    mean = math.fsum(raw[label] * count for label, count in counts.items()) / sum(counts.values())
    return {label: value / mean for label, value in raw.items()}


def repeats_to(
    labels: Sequence[str],
    paths: Sequence[str],
    targets: Mapping[str, int],
    *,
    seed: int,
    once: NDArray[np.bool_] | None = None,
) -> NDArray[np.int32]:
    """Repeats per image, int32 [n]: those of each class sum to its target and differ by at most one.

    Images in ``once``, bool [n], are shown at most once; the others of their class do not compensate, so the class
    stays below its target. Which images get the extra repeat depends on (seed, path) alone, so an added image changes
    few others.
    """
    repeats = np.zeros(len(labels), dtype=np.int32)
    order = sorted(range(len(paths)), key=lambda row: (_rank(seed, paths[row]), paths[row]))
    members: dict[str, list[int]] = {}
    for row in order:
        members.setdefault(labels[row], []).append(row)
    for label, rows in members.items():
        whole, odd = divmod(targets[label], len(rows))
        repeats[rows] = whole
        repeats[rows[:odd]] += 1
    return repeats if once is None else np.where(once, np.minimum(repeats, 1), repeats).astype(np.int32)


def oversampled(counts: Mapping[str, int], *, max_repeats: int) -> Counts:
    """The largest class's count for every class, with each image at most ``max_repeats`` times."""
    largest = max(counts.values())
    return {label: min(largest, count * max_repeats) for label, count in counts.items()}


def undersampled(counts: Mapping[str, int], *, min_images: int) -> Counts:
    """The smallest class's count for every class, but at least ``min_images`` if the class has so many."""
    smallest = max(min(counts.values()), min_images)
    return {label: min(count, smallest) for label, count in counts.items()}


def repeat_factors(counts: Mapping[str, int], *, threshold: float | None, max_repeats: int) -> dict[str, float]:
    """max(1, sqrt(threshold / frequency)) per class, at most ``max_repeats`` (Gupta et al. 2019, section 4.2).

    ``threshold`` is a share of the images; None stands for an even share, 1 / number of classes.
    """
    total = sum(counts.values())
    bound = 1.0 / len(counts) if threshold is None else threshold
    return {
        label: min(float(max_repeats), max(1.0, math.sqrt(bound * total / count))) for label, count in counts.items()
    }


def probabilities(
    labels: Sequence[str], counts: Mapping[str, int], *, power: float, doubt: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Probability of drawing each image, float64 [n], summing to 1.

    Classes are drawn in proportion to count ** (1 - power): 1 gives equal shares, 0.5 square-root sampling, 0 the
    original shares (Mahajan et al. 2018). Images in ``doubt``, bool [n], have the probability of an image of the
    largest class.
    """
    raw = np.array([counts[label] ** -power for label in labels], dtype=np.float64)
    if doubt is not None:
        raw[doubt] = max(counts.values()) ** -power
    share: NDArray[np.float64] = raw / raw.sum()
    return share


def _rank(seed: int, path: str) -> bytes:
    key = derive(seed, "sampling", "repeats").to_bytes(8, "big")
    return hashlib.blake2b(path.encode(), digest_size=8, key=key).digest()
