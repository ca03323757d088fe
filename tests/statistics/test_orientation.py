"""Each gradient is split between the two nearest orientations; the parts sum to its length."""

from __future__ import annotations

import numpy as np
import pytest

from hallmark.statistics.orientation import planes


def test_parts_add_up_to_the_length() -> None:
    random = np.random.default_rng(0)
    length, turn = random.random((2, 5, 5)), random.random((2, 5, 5)) * 8
    parts = np.stack(list(planes(length, turn, 8)))
    assert parts.sum(axis=0) == pytest.approx(length)
    assert ((parts > 0).sum(axis=0) <= 2).all()


@pytest.mark.parametrize(("turn", "parts"), [(0.0, [1, 0, 0, 0]), (2.5, [0, 0, 0.5, 0.5]), (3.75, [0.75, 0, 0, 0.25])])
def test_the_last_orientation_is_beside_the_first(turn: float, parts: list[float]) -> None:
    assert [float(plane[0, 0, 0]) for plane in planes(np.ones((1, 1, 1)), np.full((1, 1, 1), turn), 4)] == parts
