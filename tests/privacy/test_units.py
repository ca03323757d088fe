"""A unit's key depends on its own data and the seed alone; copies are one unit."""

from __future__ import annotations

import numpy as np
import pytest

from hallmark.privacy import units

PIXELS = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)


def test_equal_pixels_have_equal_keys_and_others_do_not() -> None:
    key = units.image_key(PIXELS, seed=0)
    assert key == units.image_key(PIXELS.copy(order="F"), seed=0)
    assert len(key) == 64
    reshaped = units.image_key(PIXELS.reshape(4, 2, 3), seed=0)
    retyped = units.image_key(PIXELS.view(np.int8), seed=0)
    changed = units.image_key(PIXELS + np.uint8(1), seed=0)
    assert len({key, reshaped, retyped, changed}) == 4
    assert key != units.image_key(PIXELS, seed=1)


def test_groups_have_keys_of_their_own_kind() -> None:
    assert units.group_key("p1", seed=0) == units.group_key("p1", seed=0)
    assert units.group_key("p1", seed=0) != units.group_key("p2", seed=0)
    assert units.group_key("p1", seed=0) != units.group_key("p1", seed=1)
    named = np.frombuffer(b"p1", np.uint8)
    assert units.group_key("p1", seed=0) != units.image_key(named, seed=0)


def test_one_image_stands_for_all_its_copies() -> None:
    rows = units.chosen(["x", "y", "x", "x"], paths=["c", "d", "a", "b"], cap=1, seed=0)
    assert rows.tolist() == [1, 2]


def test_a_group_keeps_its_cap_whatever_else_there_is() -> None:
    paths = [f"{index}.png" for index in range(40)]
    groups = ["big"] * 30 + ["small"] * 10
    rows = units.chosen(groups, paths=paths, cap=12, seed=0)
    assert sum(row < 30 for row in rows) == 12
    assert sum(row >= 30 for row in rows) == 10
    alone = units.chosen(groups[:30], paths=paths[:30], cap=12, seed=0)
    assert alone.tolist() == [row for row in rows if row < 30]
    assert alone.tolist() != units.chosen(groups[:30], paths=paths[:30], cap=12, seed=1).tolist()
    assert alone.tolist() != list(range(12))


def test_no_image_has_no_unit() -> None:
    assert units.chosen([], paths=[], cap=3, seed=0).tolist() == []
    with pytest.raises(AssertionError):
        units.chosen(["x"], paths=["a"], cap=0, seed=0)
