"""Nearest neighbours are exact and exclude the query itself."""

from __future__ import annotations

import numpy as np
import pytest

from hallmark.statistics import neighbours
from hallmark.statistics.neighbours import NOBODY, mean_distance, nearest


def test_nearest_is_exact_and_leaves_out_the_query_itself() -> None:
    random = np.random.default_rng(0)
    base = random.normal(size=(600, 7)).astype(np.float32)
    queries = random.normal(size=(300, 7)).astype(np.float32)
    distance, index = nearest(queries, base, k=3)
    gaps = np.linalg.norm(queries[:, None] - base[None], axis=2)
    assert (index == np.argsort(gaps, axis=1)[:, :3]).all()
    assert distance == pytest.approx(np.sort(gaps, axis=1)[:, :3], rel=1e-4)
    own, which = nearest(base, base, k=1, but=np.arange(len(base)))
    assert (own > 0).all()
    assert (which[:, 0] != np.arange(len(base))).all()


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(0).normal(size=(50, 4))
    whole = nearest(points, points, k=3, but=np.arange(50))
    monkeypatch.setattr(neighbours, "_HELD", 7 * 4 * 4)
    parts = nearest(points, points, k=3, but=np.arange(50))
    assert all(np.array_equal(one, other) for one, other in zip(whole, parts, strict=True))


def test_of_equally_near_ones_the_first_comes_first() -> None:
    base = np.array([[1.0], [5.0], [-1.0], [1.0]])
    distance, index = nearest(np.zeros((1, 1)), base, k=3)
    assert (distance.tolist(), index.tolist()) == ([[1.0, 1.0, 1.0]], [[0, 2, 3]])


def test_beside_many_copies_the_query_is_left_out_once() -> None:
    distance, _ = nearest(np.zeros((5, 2)), np.zeros((5, 2)), k=4, but=np.arange(5))
    assert distance.tolist() == [[0.0] * 4] * 5


def test_the_mean_distance_is_that_of_the_nearest() -> None:
    random = np.random.default_rng(0)
    base, queries = random.normal(size=(90, 5)), random.normal(size=(30, 5))
    own = np.full(30, NOBODY)
    assert mean_distance(queries, base, k=6, but=own) == pytest.approx(nearest(queries, base, k=6)[0].mean(axis=1))
    queries[:10], own[:10] = base[:10], np.arange(10)
    wanted = nearest(queries, base, k=6, but=own)[0].mean(axis=1)
    assert mean_distance(queries, base, k=6, but=own) == pytest.approx(wanted)
    assert (wanted > 0).all()


def test_blocks_change_no_mean_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(0).normal(size=(23, 4)).astype(np.float32)
    own = np.where(np.arange(23) % 3 == 0, NOBODY, np.arange(23))
    whole = mean_distance(points, points, k=3, but=own)
    monkeypatch.setattr(neighbours, "_BLOCK", 5)
    np.testing.assert_array_equal(mean_distance(points, points, k=3, but=own), whole)
    assert (whole[own != NOBODY] > whole[own != NOBODY] * 0).all()
    gaps = np.linalg.norm(points[:, None].astype(np.float64) - points[None], axis=2)
    gaps[np.flatnonzero(own != NOBODY), own[own != NOBODY]] = np.inf
    assert whole == pytest.approx(np.sort(gaps, axis=1)[:, :3].mean(axis=1), abs=1e-6)


def test_one_member_may_be_left_out_for_some_queries_alone() -> None:
    base = np.array([[0.0], [1.0], [3.0]])
    distance, index = nearest(base, base, k=2, but=np.array([0, NOBODY, 2]))
    assert index.tolist() == [[1, 2], [1, 0], [1, 0]]
    assert distance.tolist() == [[1.0, 3.0], [0.0, 1.0], [2.0, 3.0]]
    assert distance.dtype == np.float64
    assert index.dtype == np.int64


@pytest.mark.parametrize(
    ("k", "own", "possible"), [(3, False, True), (4, False, False), (2, True, True), (3, True, False)]
)
def test_more_neighbours_than_there_are_is_an_error(k: int, own: bool, possible: bool) -> None:
    base = np.arange(3.0)[:, None]
    but = np.arange(3) if own else None
    if possible:
        assert nearest(base, base, k=k, but=but)[1].shape == (3, k)
    else:
        with pytest.raises(AssertionError, match=f"^{k} neighbours asked of 3$"):
            nearest(base, base, k=k, but=but)
    with pytest.raises(AssertionError, match=r"^0 neighbours"):
        nearest(base, base, k=0)


def test_small_distances_far_from_the_origin_are_exact() -> None:
    base = np.array([[1e6, 0], [1e6 + 1e-3, 0], [1e6 + 3e-3, 0]])
    distance, index = nearest(base[:1], base, k=3)
    assert index.tolist() == [[0, 1, 2]]
    assert distance[0] == pytest.approx([0, 1e-3, 3e-3], rel=1e-5)
