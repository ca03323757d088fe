from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from hallmark.splitting.units import find_units, positions


def series(*values: str | None) -> pd.Series[str]:
    return pd.Series(list(values), dtype="string")


def test_groups_and_clusters_join_into_units() -> None:
    # a and b share a group, b and c a cluster; d stands alone
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
@settings(deadline=None)
def test_a_position_never_rises_as_images_come(rows: list[tuple[int, int]], seed: int) -> None:
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


def test_nothing_gives_nothing() -> None:
    unit, position = find_units(cluster=series(), group=series(), content=series(), seed=0)
    assert len(unit) == len(position) == 0
