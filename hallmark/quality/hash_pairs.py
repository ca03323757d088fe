"""Pairs of near 64-bit hashes, found without comparing all of them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Indices = NDArray[np.int64]

_CHUNK = 1 << 20  # pairs compared at once: 8 MiB a column


def near_pairs(hashes: NDArray[np.uint64], distance: int) -> tuple[Indices, Indices]:
    """All pairs i < j of *distinct* 64-bit hashes that differ in at most ``distance`` bits, sorted.

    Banding: with ``distance + m`` bands at least m of them are equal in such a pair, so that the pairs are among those
    equal in some choice of m bands. Time is near linear for spread hashes; memory is bounded by the chunk and the
    result. Raises ValueError where the distance is outside [0, 12] or hashes repeat.
    """
    if not 0 <= distance <= 12:
        raise ValueError(f"distance is {distance}, outside [0, 12]")
    if len(np.unique(hashes)) != len(hashes):
        raise ValueError("hashes repeat")
    together = 2 if distance <= 4 else 3
    edges = np.linspace(0, 64, distance + together + 1).round().astype(int)
    bands = [(int(a), int(b)) for a, b in itertools.pairwise(edges)]
    packed: list[NDArray[np.uint64]] = []
    for choice in itertools.combinations(bands, together):
        keys, order = _sorted_by(hashes, choice)
        for i, j in _same_key(keys):
            left, right = order[i], order[j]
            near = np.bitwise_count(hashes[left] ^ hashes[right]) <= distance
            packed.append(_packed(left[near], right[near], len(hashes)))
        if sum(map(len, packed)) > _CHUNK:
            packed = [_distinct(np.concatenate(packed))]
    return _unpacked(np.concatenate(packed) if packed else np.zeros(0, np.uint64), len(hashes))


def _packed(left: Indices, right: Indices, count: int) -> NDArray[np.uint64]:
    """Each pair of indices below ``count`` as one number, the lower index first: plain numbers sort fast."""
    low, high = np.minimum(left, right).astype(np.uint64), np.maximum(left, right).astype(np.uint64)
    return low * np.uint64(count) + high


def _unpacked(packed: NDArray[np.uint64], count: int) -> tuple[Indices, Indices]:
    """The distinct pairs of :func:`_packed` numbers, sorted."""
    low, high = np.divmod(_distinct(packed), np.uint64(max(count, 1)))
    return low.astype(np.int64), high.astype(np.int64)


def _distinct(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The distinct values, sorted; ``np.unique`` hashes them, which is several times slower."""
    values = np.sort(values)
    return values[np.r_[True, values[1:] != values[:-1]]] if len(values) else values


def together(pair_lists: list[Indices], images: int) -> tuple[Indices, Indices]:
    """Pairs ``[2, pairs]`` of several searches as pairs i < j, each once, sorted."""
    pairs = np.concatenate(pair_lists, axis=1)
    return _unpacked(_packed(pairs[0], pairs[1], images), images)


def _sorted_by(hashes: NDArray[np.uint64], bands: tuple[tuple[int, int], ...]) -> tuple[NDArray[np.uint64], Indices]:
    """The bits of some bands of each hash, sorted, and the rows they belong to.

    Sorting bits and row packed into one number is several times faster than an argsort.
    """
    keys = np.zeros(len(hashes), np.uint64)
    width = 0
    for low, high in bands:
        keys |= ((hashes >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)) << np.uint64(width)
        width += high - low
    position_bits = max(len(hashes) - 1, 1).bit_length()
    if width + position_bits > 64:
        order = np.argsort(keys, kind="stable")
        return keys[order], order
    packed = np.sort((keys << np.uint64(position_bits)) | np.arange(len(hashes), dtype=np.uint64))
    return packed >> np.uint64(position_bits), (packed & np.uint64((1 << position_bits) - 1)).astype(np.int64)


def _same_key(keys: NDArray[np.uint64]) -> Iterator[tuple[Indices, Indices]]:
    """Positions of all pairs with equal keys in a sorted array, in chunks of bounded size."""
    begins = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]]) if len(keys) else np.zeros(0, np.int64)
    ends = np.repeat(np.r_[begins[1:], len(keys)], np.diff(np.r_[begins, len(keys)]))
    after = ends - np.arange(len(keys)) - 1  # partners that follow each position
    total = np.cumsum(after)
    start = 0
    while start < len(keys):
        done = total[start - 1] if start else 0
        # a single position may have more partners than a chunk holds: it still goes in one piece, at most len(keys)
        stop = max(start + 1, int(np.searchsorted(total, done + _CHUNK, side="right")))
        counts = after[start:stop]
        i = np.repeat(np.arange(start, stop), counts)
        j = i + 1 + np.arange(len(i)) - np.repeat(np.cumsum(counts) - counts, counts)
        if len(i):
            yield i, j
        start = stop
