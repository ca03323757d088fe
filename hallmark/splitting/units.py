"""Units: the smallest sets of images that must stay in one split.

A unit is a connected component of images that share a user's group or a duplicate cluster. Its position in [0, 1)
depends on its members alone: it is the smallest keyed hash of their group names and, for images without a group, of
their pixels. So a unit keeps its position when other images are added or removed, and a merged unit takes the smaller,
more held-out position.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


def positions(keys: Iterable[str], *, seed: int) -> NDArray[np.float64]:
    """A pseudorandom uniform number in [0, 1) per key, equal in every process."""
    secret = seed.to_bytes(8, "big", signed=True)
    values = [int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8, key=secret).digest(), "big") for key in keys]
    # 53 bits: a float64 rounded to 1.0 would be outside every split
    return (np.array(values, dtype=np.uint64) >> np.uint64(11)) / 2.0**53


def find_units(
    *, cluster: pd.Series[str], group: pd.Series[str], content: pd.Series[str], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The unit of each image, and the position of each unit.

    ``cluster`` names each image's duplicate cluster, ``group`` the user's group (NA if none), ``content`` the hash of
    its pixels; all have one entry per image. Returns units ``[images]`` numbered from 0, and positions ``[units]``.
    """
    n = len(cluster)
    if n == 0:
        return np.zeros(0, np.int64), np.zeros(0)
    clusters, _ = pd.factorize(cluster)
    groups, _ = pd.factorize(group)
    grouped = groups >= 0
    images = np.arange(n)
    offset = n + clusters.max() + 1
    rows = np.concatenate([images, images[grouped]])
    nodes = np.concatenate([n + clusters, offset + groups[grouped]])
    size = int(nodes.max()) + 1
    graph = coo_array((np.ones(len(rows), np.int8), (rows, nodes)), shape=(size, size))
    _, component = connected_components(graph, directed=False)
    unit, _ = pd.factorize(component[:n])
    # one hash per group, of its name: the smallest of its images' hashes would always hold out large groups
    keys = np.where(grouped, "group:" + group.fillna("").to_numpy(dtype=object), "pixels:" + content.to_numpy(object))
    which, names = pd.factorize(keys)
    position = np.ones(int(unit.max()) + 1)
    np.minimum.at(position, unit, positions(names, seed=seed)[which])
    return unit.astype(np.int64), position
