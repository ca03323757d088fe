"""Distances to nearest neighbours, exact, without holding the matrix of all pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Features = NDArray[np.float32]  # [n, d]

CHUNK = 256


def nearest(
    queries: Features, base: Features, *, k: int, but: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Euclidean distances float64 [n, k] of queries [n, d] to their k nearest of base [m, d], and which: int64 [n, k].

    ``but`` [n] names a member of ``base`` that does not count: a query that is itself of the base.
    """
    assert 1 <= k <= len(base) - (but is not None), f"{k} neighbours asked of {len(base)}"
    distances = np.empty((len(queries), k))
    indices = np.empty((len(queries), k), dtype=np.int64)
    squares = np.einsum("nd,nd->n", base, base, dtype=np.float64)
    for start in range(0, len(queries), CHUNK):
        part = queries[start : start + CHUNK]
        gap = squares[None] + np.einsum("nd,nd->n", part, part, dtype=np.float64)[:, None] - 2.0 * (part @ base.T)
        if but is not None:
            gap[np.arange(len(part)), but[start : start + CHUNK]] = np.inf
        near = np.argsort(gap, axis=1, kind="stable")[:, :k]
        indices[start : start + CHUNK] = near
        # the sum of squares loses the small distances, which matter most here
        exact = np.linalg.norm(part[:, None].astype(np.float64) - base[near], axis=2)
        distances[start : start + CHUNK] = exact
    return distances, indices
