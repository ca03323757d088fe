from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from hallmark.splitting.assignment import TEST, TRAIN, assign
from hallmark.splitting.units import find_units, positions


def series(*values: str | None) -> pd.Series[str]:
    return pd.Series(list(values), dtype="string")


def test_groups_and_clusters_join_into_units() -> None:
    # a and b share a group, b and c a cluster; d has neither
    unit, position = find_units(
        cluster=series("a", "b", "b", "d"),
        group=series("g", "g", None, None),
        content=series("1", "2", "3", "4"),
        seed=0,
    )
    assert unit[0] == unit[1] == unit[2] != unit[3]
    assert len(position) == 2
    expected = positions(["group:g", "pixels:3"], seed=0).min()
    assert position[unit[0]] == expected


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=30), st.integers(0, 3))
def test_added_images_never_raise_a_position(rows: list[tuple[int, int]], seed: int) -> None:
    def of(part: list[tuple[int, int]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        unit, position = find_units(
            cluster=series(*[f"c{cluster}" for cluster, _ in part]),
            group=series(*[None if group == 0 else f"g{group}" for _, group in part]),
            content=series(*[f"p{number}" for number in range(len(part))]),
            seed=seed,
        )
        return position[unit]

    whole = of(rows)
    for stop in range(1, len(rows)):
        assert (whole[:stop] <= of(rows[:stop])).all()


def test_positions_are_uniform_and_follow_the_seed() -> None:
    keys = [str(number) for number in range(4000)]
    drawn = positions(keys, seed=3)
    assert (drawn == positions(keys, seed=3)).all()
    assert abs(np.corrcoef(drawn, positions(keys, seed=4))[0, 1]) < 0.06
    assert np.abs(np.histogram(drawn, 10, (0, 1))[0] - 400).max() < 100


def test_no_images_give_no_units() -> None:
    unit, position = find_units(cluster=series(), group=series(), content=series(), seed=0)
    assert len(unit) == len(position) == 0


@given(seed=st.integers(0, 10**6), growths=st.integers(1, 5), classes=st.integers(1, 3))
@settings(max_examples=40)
def test_clusters_that_merge_take_the_most_held_out_split(seed: int, growths: int, classes: int) -> None:
    random = np.random.default_rng(seed)
    cluster = np.arange(40)
    ever_test = np.zeros(0, bool)
    for _ in range(growths):
        # more images: new ones, copies of existing ones, and copies that merge two clusters
        joined = random.choice(len(cluster), 6, replace=False).reshape(3, 2)
        for left, right in joined:
            cluster[cluster == cluster[right]] = cluster[left]
        fresh = len(cluster) + np.arange(40)
        fresh[:5] = cluster[random.integers(0, len(cluster), 5)]
        cluster = np.concatenate([cluster, fresh])
        unit, position = find_units(
            cluster=series(*[f"c{number}" for number in cluster]),
            group=series(*[None] * len(cluster)),
            content=series(*[f"{seed} {number}" for number in range(len(cluster))]),
            seed=seed,
        )
        alone = positions([f"pixels:{seed} {number}" for number in range(len(cluster))], seed=seed)
        # a cluster has the position of its most held-out member
        for number in range(len(position)):
            assert position[number] == alone[unit == number].min()
        now = assign(unit, np.arange(len(cluster)) % classes, position, val=0.2, test=0.1, cover=False)[unit]
        before = len(ever_test)
        assert not (ever_test & (now[:before] == TRAIN)).any(), "from test into train"
        ever_test = np.concatenate([ever_test, np.zeros(len(cluster) - before, bool)]) | (now == TEST)
        assert all(len(set(now[unit == number])) == 1 for number in range(len(position))), "a cluster is torn"


def test_positions_are_the_same_in_every_release_and_take_any_seed() -> None:
    # another position would move images between train and test
    assert positions(["group:g", "pixels:3"], seed=0).tolist() == [0.9230442658079354, 0.9007894054961323]
    assert positions(["a"], seed=-1).tolist() == [0.47347404287146755]
    assert positions([], seed=0).shape == (0,)


def test_single_images_are_units_numbered_in_order() -> None:
    unit, position = find_units(
        cluster=series("c", "a", "b"), group=series(None, None, None), content=series("3", "1", "2"), seed=5
    )
    assert unit.tolist() == [0, 1, 2]
    assert unit.dtype == np.int64
    np.testing.assert_array_equal(position, positions(["pixels:3", "pixels:1", "pixels:2"], seed=5))


def test_a_group_and_a_cluster_may_have_the_same_name() -> None:
    unit, _ = find_units(cluster=series("a", "b"), group=series("b", None), content=series("1", "2"), seed=0)
    assert unit[0] != unit[1]
