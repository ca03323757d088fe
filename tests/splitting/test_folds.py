from __future__ import annotations

import numpy as np
import pytest

from hallmark.splitting.folds import assign


def test_units_stay_whole_and_classes_are_spread() -> None:
    unit = np.arange(300) // 3
    labels = np.where(unit % 4 == 0, "rare", "common")
    number = assign(labels, unit, 5, seed=0)
    assert all(len(set(number[unit == each])) == 1 for each in range(100))
    assert [int((number[labels == "rare"] == fold).sum()) for fold in range(5)] == [15] * 5
    assert (assign(labels, unit, 5, seed=0) == number).all()
    assert (assign(labels, unit, 5, seed=1) != number).any()


def test_fewer_units_than_folds_are_an_error() -> None:
    with pytest.raises(ValueError, match="n_splits"):
        assign(np.array(["a", "b"] * 4), np.arange(8) // 4, 5, seed=0)
