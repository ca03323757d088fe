"""Duplicate clusters: exact by the hash of the decoded pixels, near by perceptual hash and then by the pixels.

The 64-bit perceptual hash only proposes: two images whose hashes differ in few bits and whose sketches are similar are
*candidates*; small or uniform images often have close hashes by chance. A one-pixel crop of a small image changes many
bits, so its nearest neighbours are candidates too. A candidate pair is accepted if the residual between the images
(:mod:`hallmark.quality.alignment`) is small. This detects re-encoded, resized, slightly brightened and lightly cropped
copies, but not merely similar photos. Clusters are the connected components of accepted pairs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from hallmark.contracts import progress
from hallmark.quality.alignment import LARGEST_STRETCH, residual, smooth
from hallmark.quality.hash_pairs import near_pairs, together
from hallmark.quality.measurement import SKETCH_SIDE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Indices = NDArray[np.int64]
    Thumbnails = NDArray[np.uint8]

SIDE = 48
_CROWD = 24  # images of one hash beyond which only neighbours in brightness and contrast are compared
# shorter side in pixels below which a one-pixel crop removes some percent of the image
_SMALL = 64
_NEAREST, _NEIGHBOURS = 64, 2
_NEIGHBOUR_SIDE = 16
_UNLIKE = 0.1  # 1 - cosine of two coarse pictures above which neither is a crop of the other
_EXACT_SEARCH = 8192  # images up to which all pairs are compared; beyond, pairs with a common nearby anchor
_CELLS = 3
_HELD = 1 << 14  # thumbnails in memory at once: 108 MiB
_DIFFERENT = 0.1  # 1 - cosine of two sketches beyond which none is a copy; copies of photographs stay below 0.02
# the same of small images, smoothed: resized, re-encoded and brightened copies of 8 to 28 pixels stay below 0.004.
# Crops do not, and are left to the search of neighbours
_DIFFERENT_SMALL = 0.01
_UNEXPLAINED = 0.16  # distance between coarse pictures, shifts and stretches allowed for; of crops at most 0.147
_ROUNDING = 2.0  # grey levels by which two sketches may differ whatever their cosine


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
    pairs = [np.stack([alone[first[plain]], alone[second[plain]]])]
    for group in members:
        if len(group) > 1:
            pairs.append(_neighbours(group, light) if len(group) > _CROWD else _all_pairs(group))
    for a, b in zip(first[~plain], second[~plain], strict=True):
        if crowded[a] or crowded[b]:
            pairs.append(_neighbours(np.concatenate([members[a], members[b]]), light))
        else:
            pairs.append(np.stack([np.repeat(members[a], len(members[b])), np.tile(members[b], len(members[a]))]))
    return together(pairs, len(phash))


def _all_pairs(group: Indices) -> Indices:
    i, j = np.triu_indices(len(group), 1)
    return np.stack([group[i], group[j]])


def _neighbours(group: Indices, light: NDArray[np.float64]) -> Indices:
    pairs = []
    for column in range(light.shape[1]):
        order = group[np.argsort(light[group, column], kind="stable")]
        pairs += [np.stack([order[:-step], order[step:]]) for step in range(1, min(_CROWD, len(group)))]
    return np.concatenate(pairs, axis=1)


def coarse(thumbnails: Thumbnails) -> NDArray[np.float32]:
    """Unit vectors float32 ``[images, 256]`` of smoothed 16x16 light, the mean left out; zero for a flat image."""
    n, side = thumbnails.shape[:2]
    step = side // _NEIGHBOUR_SIDE
    parts = thumbnails.reshape(n, _NEIGHBOUR_SIDE, step, _NEIGHBOUR_SIDE, step, 3)
    light = smooth(parts.mean(axis=(2, 4, 5), dtype=np.float32)).reshape(n, -1)
    light -= light.mean(axis=1, keepdims=True)
    length = np.sqrt((light**2).mean(axis=1, keepdims=True))
    return np.where(length < 1, 0, light / np.maximum(length * _NEIGHBOUR_SIDE, 1e-6)).astype(np.float32)


def neighbours(vectors: NDArray[np.float32]) -> tuple[Indices, Indices]:
    """Each coarse picture with the two it is most likely a crop of, if any is near: pairs i < j, sorted.

    Of the 64 nearest, the two whose difference a small shift or stretch explains best (tangent distance; Simard et al.
    1993): among many similar pictures a crop is not one of the nearest. Beyond 8 192 pictures, only those that share
    one of their three nearest anchors (evenly spaced rows) are compared.
    """
    n = len(vectors)
    if n <= _EXACT_SEARCH:
        cells = [np.arange(n)]
    else:
        anchors = vectors[:: max(1, n // int(2 * np.sqrt(n)))]
        blocks = (vectors[begin : begin + 4096] @ anchors.T for begin in range(0, n, 4096))
        nearest = np.concatenate([np.argpartition(-like, _CELLS, axis=1)[:, :_CELLS] for like in blocks])
        order = np.argsort(nearest.ravel(), kind="stable")
        cells = np.split(order // _CELLS, np.cumsum(np.bincount(nearest.ravel(), minlength=len(anchors)))[:-1])
    pairs = [np.zeros((2, 0), np.int64)]
    for cell in cells:
        inside = vectors[cell]
        for begin in range(0, len(cell) if len(cell) > 1 else 0, 256):
            rows = slice(begin, begin + 256)
            which, partner = _likeliest(inside[rows], inside, begin)
            pairs.append(np.stack([cell[which + begin], cell[partner]]))
    return together(pairs, n)


def _likeliest(block: NDArray[np.float32], inside: NDArray[np.float32], begin: int) -> tuple[Indices, Indices]:
    """Rows of the block and their partners among ``inside``, of which the block starts at ``begin``."""
    like = block @ inside.T
    rows = np.arange(len(block))
    like[rows, rows + begin] = -1
    k = min(_NEAREST, len(inside) - 1)
    best = np.argpartition(-like, k - 1, axis=1)[:, :k]
    difference = inside[best] - block[:, None]
    explained = ((difference @ _tangents(block)) ** 2).sum(axis=2)
    rest = (difference**2).sum(axis=2) - explained
    rest[(like[rows[:, None], best] < 1 - _UNLIKE) | (rest > _UNEXPLAINED**2)] = np.inf
    chosen = np.argsort(rest, axis=1, kind="stable")[:, :_NEIGHBOURS]
    which, rank = np.nonzero(np.isfinite(rest[rows[:, None], chosen]))
    return which, best[which, chosen[which, rank]]


def _tangents(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Orthonormal directions in which shifts, stretches and gain move coarse pictures: float32 ``[images, 256, 5]``."""
    side = _NEIGHBOUR_SIDE
    light = vectors.reshape(-1, side, side)
    grid = (np.arange(side, dtype=np.float32) - (side - 1) / 2) / (side / 2)
    gy, gx = np.gradient(light, axis=1), np.gradient(light, axis=2)
    ways = np.stack([light, gx, gy, grid * gx, grid[:, None] * gy], axis=3).reshape(len(vectors), side * side, 5)
    # the least noise keeps a flat picture's directions defined
    return np.asarray(np.linalg.qr(ways + 1e-6 * np.eye(side * side, 5, dtype=np.float32))[0], np.float32)


def _alike(sketches: pd.Series, i: Indices, j: Indices, *, small: bool) -> NDArray[np.bool_]:
    """Which pairs of images have similar sketches: bool [pairs]; ``small`` ones are smoothed first."""
    held = sketches.to_numpy(object)
    least = 1 - (_DIFFERENT_SMALL if small else _DIFFERENT)

    def light(rows: Indices) -> NDArray[np.float32]:
        pictures = np.frombuffer(b"".join(held[rows]), np.uint8).reshape(len(rows), SKETCH_SIDE, SKETCH_SIDE)
        values = (smooth(pictures.astype(np.float32)) if small else pictures.astype(np.float32)).reshape(len(rows), -1)
        return np.asarray(values - values.mean(axis=1, keepdims=True), np.float32)

    parts = [np.zeros(0, bool)]
    for begin in range(0, len(i), 4096):
        a, b = light(i[begin : begin + 4096]), light(j[begin : begin + 4096])
        length = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        alike: NDArray[np.bool_] = np.einsum("nd,nd->n", a, b) >= least * length
        # with hardly any contrast, rounding dominates the cosine
        parts.append(alike | (np.sqrt(((a - b) ** 2).mean(axis=1)) <= _ROUNDING))
    return np.concatenate(parts)


def find_clusters(
    images: pd.DataFrame,
    thumbnails: Callable[[Indices], Thumbnails],
    *,
    distance: int,
    max_residual: float,
    align_from: int,
) -> NDArray[np.int64]:
    """The duplicate cluster of each image, numbered from 0; an image without a copy is its own cluster.

    ``images`` has the columns ``pixel_hash phash sketch brightness contrast width height``. ``thumbnails(rows)`` gives
    pixels uint8 ``[rows, 48, 48, 3]`` and is called for candidates only. ``align_from`` is the shorter side in pixels
    from which copies may also be cropped.
    """
    exact, _ = pd.factorize(images["pixel_hash"])
    _, first = np.unique(exact, return_index=True)  # one image per content stands for all its exact copies
    light = images[["brightness", "contrast"]].to_numpy(np.float64)[first]
    progress.report("searching for copies")
    i, j = candidates(images["phash"].to_numpy(np.uint64)[first], light, distance)
    side = images[["width", "height"]].min(axis=1).to_numpy()[first]
    low = np.minimum(side[i], side[j]) < _SMALL
    alike = np.zeros(len(i), bool)
    for pairs, is_small in ((low, True), (~low, False)):
        alike[pairs] = _alike(images["sketch"].iloc[first], i[pairs], j[pairs], small=is_small)
    i, j = i[alike], j[alike]
    small = np.flatnonzero((side >= align_from) & (side < _SMALL))
    if len(small) > 1:
        # in blocks: the thumbnails of all images would not fit in memory
        blocks = [coarse(thumbnails(first[small[begin : begin + 4096]])) for begin in range(0, len(small), 4096)]
        near = neighbours(np.concatenate(blocks))
        i, j = together([np.stack([i, j]), small[np.stack(near)]], len(first))
    aspect = np.log(images["width"].to_numpy(np.float64) / images["height"].to_numpy(np.float64))[first]
    likely = np.abs(aspect[i] - aspect[j]) <= 3 * LARGEST_STRETCH
    i, j = i[likely], j[likely]
    align = np.minimum(side[i], side[j]) >= align_from
    # all candidates at once if memory allows; else in blocks of pairs, which may read an image more than once
    size = max(len(i), 1) if len(np.unique(np.concatenate([i, j]))) <= _HELD else _HELD // 2
    accepted = [np.zeros(0, bool)]
    begins = range(0, len(i), size)
    for begin in progress.counted(begins, "comparing likely copies", len(begins), unit="blocks"):
        part = slice(begin, begin + size)
        needed, position = np.unique(np.stack([i[part], j[part]]), return_inverse=True)
        left, right = position.reshape(2, -1)
        pixels = thumbnails(first[needed])
        accepted.append(residual(pixels, left, right, align[part]) <= max_residual)
    keep = np.concatenate(accepted)
    graph = coo_array((np.ones(keep.sum(), np.int8), (i[keep], j[keep])), shape=(len(first), len(first)))
    _, component = connected_components(graph, directed=False)
    cluster: NDArray[np.int64] = component[exact].astype(np.int64)
    return cluster
