"""Duplicates as clusters: exact by the hash of the decoded pixels, near by perceptual hash and then by the pixels.

The 64-bit perceptual hash only proposes: two images whose hashes differ in few bits are *candidates*, and on small or
uniform images many different ones do. A candidate pair is accepted if one image, moved and stretched by a few percent
and changed in brightness and contrast, explains the other but for a small residual. So re-encoded, resized, slightly
brightened and lightly cropped copies are found, and merely similar photos are not. Clusters are the connected
components of accepted pairs.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Indices = NDArray[np.int64]
    Thumbnails = NDArray[np.uint8]

SIDE = 48
_CHUNK = 1 << 22  # pairs compared at once: 32 MiB a column
_CROWD = 24  # images of one hash beyond which only neighbours in brightness and contrast are compared
_ROUGH = 0.4  # residual without alignment above which no crop of a few percent is the reason
_WARP = 0.05
_STEPS = 3
_FLAT = 1.5  # deviation in grey levels below which an image shows nothing to compare
_GAIN = (0.6, 1.6)


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
    found: list[NDArray[np.uint64]] = []
    n = np.uint64(len(hashes))
    for choice in itertools.combinations(bands, together):
        keys, order = _sorted_by(hashes, choice)
        for i, j in _same_key(keys):
            left, right = order[i], order[j]
            near = np.bitwise_count(hashes[left] ^ hashes[right]) <= distance
            left, right = left[near], right[near]
            low, high = np.minimum(left, right), np.maximum(left, right)
            found.append(low.astype(np.uint64) * n + high.astype(np.uint64))
        if sum(map(len, found)) > _CHUNK:
            found = [np.unique(np.concatenate(found))]
    pairs = np.unique(np.concatenate(found)) if found else np.zeros(0, np.uint64)
    first, second = np.divmod(pairs, max(n, np.uint64(1)))
    return first.astype(np.int64), second.astype(np.int64)


def _sorted_by(hashes: NDArray[np.uint64], bands: tuple[tuple[int, int], ...]) -> tuple[NDArray[np.uint64], Indices]:
    """The bits of some bands of each hash, sorted, and whose they are.

    Sorting the bits with the position behind them in one number is several times faster than an argsort.
    """
    keys = np.zeros(len(hashes), np.uint64)
    width = 0
    for low, high in bands:
        keys |= ((hashes >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)) << np.uint64(width)
        width += high - low
    places = max(len(hashes) - 1, 1).bit_length()
    if width + places > 64:
        order = np.argsort(keys, kind="stable")
        return keys[order], order
    packed = np.sort((keys << np.uint64(places)) | np.arange(len(hashes), dtype=np.uint64))
    return packed >> np.uint64(places), (packed & np.uint64((1 << places) - 1)).astype(np.int64)


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


def candidates(phash: NDArray[np.uint64], light: NDArray[np.float64], distance: int) -> tuple[Indices, Indices]:
    """Pairs i < j of images whose hashes differ in at most ``distance`` bits.

    ``light`` ``[images, 2]`` is brightness and contrast: in a crowd of one hash or two near ones (nearly empty
    pictures) each image is paired only with its neighbours in either, so that the pairs stay linear in the images.
    """
    unique, which = np.unique(phash, return_inverse=True)
    members = np.split(np.argsort(which, kind="stable"), np.cumsum(np.bincount(which))[:-1])
    crowded = np.bincount(which) > _CROWD
    first, second = near_pairs(unique, distance)
    plain = np.bincount(which)[first] * np.bincount(which)[second] == 1
    alone = np.array([group[0] for group in members], np.int64)
    found = [np.stack([alone[first[plain]], alone[second[plain]]])]
    for group in members:
        if len(group) > 1:
            found.append(_neighbours(group, light) if len(group) > _CROWD else _all_pairs(group))
    for a, b in zip(first[~plain], second[~plain], strict=True):
        if crowded[a] or crowded[b]:
            found.append(_neighbours(np.concatenate([members[a], members[b]]), light))
        else:
            found.append(np.stack([np.repeat(members[a], len(members[b])), np.tile(members[b], len(members[a]))]))
    pairs = np.unique(np.sort(np.concatenate(found, axis=1), axis=0), axis=1)
    return pairs[0], pairs[1]


def _all_pairs(group: Indices) -> Indices:
    i, j = np.triu_indices(len(group), 1)
    return np.stack([group[i], group[j]])


def _neighbours(group: Indices, light: NDArray[np.float64]) -> Indices:
    found = []
    for column in range(light.shape[1]):
        order = group[np.argsort(light[group, column], kind="stable")]
        found += [np.stack([order[:-step], order[step:]]) for step in range(1, min(_CROWD, len(group)))]
    return np.concatenate(found, axis=1)


def residual(left: Thumbnails, right: Thumbnails, align: NDArray[np.bool_]) -> NDArray[np.float64]:
    """What part of ``right``'s contrast ``left`` leaves unexplained, per pair, in [0, 1]; 1 where it explains nothing.

    Both are uint8 ``[pairs, side, side, 3]``. The model is right = gain * left + offset, with one gain in [0.6, 1.6]
    for all channels; where ``align`` is true, left may also be moved and stretched by up to 5 % of the side
    (Gauss-Newton on the linearised warp, Lucas and Kanade 1981). Too few pixels cannot tell such a move from another
    picture: align only images larger than a few dozen pixels.
    """
    a, b = left.astype(np.float32), right.astype(np.float32)
    rough = _explain(a, b)
    out = rough.copy()
    fine = np.flatnonzero(align & (rough > 0.01) & (rough <= _ROUGH))
    for begin in range(0, len(fine), 512):
        part = fine[begin : begin + 512]
        out[part] = np.minimum(rough[part], np.minimum(_aligned(a[part], b[part]), _aligned(b[part], a[part])))
    return out


def _explain(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """Residual of b on gain * a + offset; pictures without contrast match by their level."""
    a = a.reshape(len(a), -1).astype(np.float64)
    b = b.reshape(len(b), -1).astype(np.float64)
    level = np.abs(a.mean(1) - b.mean(1))
    a -= a.mean(1, keepdims=True)
    b -= b.mean(1, keepdims=True)
    spread_a, spread_b = a.std(1), b.std(1)
    gain = np.clip((a * b).mean(1) / np.maximum(spread_a**2, 1e-9), *_GAIN)
    rest = np.sqrt(((b - gain[:, None] * a) ** 2).mean(1)) / np.maximum(np.maximum(spread_b, gain * spread_a), 1e-9)
    flat_a, flat_b = spread_a < _FLAT, spread_b < _FLAT
    rest = np.where(flat_a & flat_b, np.where(level <= 2 * _FLAT, 0.0, 1.0), np.where(flat_a ^ flat_b, 1.0, rest))
    return np.minimum(rest, 1.0)


def _aligned(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """Residual of b on a after moving and stretching a; the rim is left out, for there the move finds no pixels."""
    pairs, side = a.shape[:2]
    a, b = _smooth(a), _smooth(b)  # resampling softens one of the two: without this, that alone would be a residual
    grid = (np.arange(side, dtype=np.float32) - (side - 1) / 2) / (side / 2)
    rim = slice(2, side - 2)
    move = np.zeros((pairs, 4), np.float32)  # shift and stretch along x, then along y, in pixels
    light = b.mean(3)[:, rim, rim].reshape(pairs, -1)
    for _ in range(_STEPS):
        warped = _warp(a, move)
        grey = warped.mean(3)
        gy, gx = np.gradient(grey, axis=(1, 2))
        terms = [grey, np.ones_like(grey), gx, grid * gx, gy, grid[:, None] * gy]
        design = np.stack([term[:, rim, rim].reshape(pairs, -1) for term in terms], axis=2).astype(np.float64)
        normal = design.transpose(0, 2, 1) @ design + 1e-3 * np.eye(6)
        solved = np.linalg.solve(normal, design.transpose(0, 2, 1) @ light[:, :, None].astype(np.float64))[:, :, 0]
        gain = np.clip(solved[:, :1], *_GAIN)
        move = np.clip(move + solved[:, 2:] / gain, -_WARP * side, _WARP * side).astype(np.float32)
    return _explain(_warp(a, move)[:, rim, rim], b[:, rim, rim])


def _smooth(a: NDArray[np.float32]) -> NDArray[np.float32]:
    for axis in (1, 2):
        before = np.take(a, np.r_[0, : a.shape[axis] - 1], axis)
        after = np.take(a, np.r_[1 : a.shape[axis], a.shape[axis] - 1], axis)
        a = (before + 2 * a + after) / 4
    return a


def _warp(a: NDArray[np.float32], move: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bilinear resampling along each axis in turn: the warp is separable."""
    pairs, side = a.shape[:2]
    grid = np.arange(side, dtype=np.float32)
    unit = (grid - (side - 1) / 2) / (side / 2)
    for axis, shift, stretch in ((2, move[:, 0], move[:, 1]), (1, move[:, 2], move[:, 3])):
        at = np.clip(grid + shift[:, None] + stretch[:, None] * unit, 0, side - 1)
        low = np.minimum(at.astype(np.int64), side - 2)
        part = at - low
        shape = (pairs, 1, side, 1) if axis == 2 else (pairs, side, 1, 1)
        low, part = low.reshape(shape), part.reshape(shape)
        a = np.take_along_axis(a, low, axis) * (1 - part) + np.take_along_axis(a, low + 1, axis) * part
    return a


def find_clusters(
    images: pd.DataFrame,
    thumbnails: Callable[[Indices], Thumbnails],
    *,
    distance: int,
    max_residual: float,
    align_from: int,
) -> NDArray[np.int64]:
    """The duplicate cluster of each image: numbers from 0, equal within a cluster, alone where an image has no copy.

    ``images`` has the columns ``pixel_hash phash brightness contrast width height``. ``thumbnails(rows)`` gives the
    pixels of some rows as uint8 ``[rows, 48, 48, 3]`` and is asked only for candidates. ``align_from`` is the shorter
    side in pixels from which copies may also be cropped.
    """
    exact, _ = pd.factorize(images["pixel_hash"])
    _, first = np.unique(exact, return_index=True)  # one image per content stands for all its exact copies
    light = images[["brightness", "contrast"]].to_numpy(np.float64)[first]
    i, j = candidates(images["phash"].to_numpy(np.uint64)[first], light, distance)
    side = images[["width", "height"]].min(axis=1).to_numpy()[first]
    aspect = np.log(images["width"].to_numpy(np.float64) / images["height"].to_numpy(np.float64))[first]
    likely = np.abs(aspect[i] - aspect[j]) <= 3 * _WARP
    i, j = i[likely], j[likely]
    needed, position = np.unique(np.concatenate([i, j]), return_inverse=True)
    pixels = thumbnails(first[needed])
    accepted = []
    for begin in range(0, len(i), 4096):
        part = slice(begin, begin + 4096)
        left, right = position[: len(i)][part], position[len(i) :][part]
        align = np.minimum(side[i[part]], side[j[part]]) >= align_from
        accepted.append(residual(pixels[left], pixels[right], align) <= max_residual)
    keep = np.concatenate(accepted) if accepted else np.zeros(0, bool)
    graph = coo_array((np.ones(keep.sum(), np.int8), (i[keep], j[keep])), shape=(len(first), len(first)))
    _, component = connected_components(graph, directed=False)
    cluster: NDArray[np.int64] = component[exact].astype(np.int64)
    return cluster
