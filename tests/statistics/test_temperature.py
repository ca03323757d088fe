"""The fit recovers the scale that the labels were drawn with."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from hallmark.statistics import temperature


def test_a_temperature_and_a_factor_are_each_others_inverse() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=(4000, 3))
    labels = np.array([random.choice(3, p=row) for row in temperature.softmax(logits)])
    divisor, loss = temperature.fit(logits * 4, labels, bounds=(-3.0, 3.0), divide=True)
    factor, same = temperature.fit(logits * 4, labels, bounds=(-3.0, 3.0), divide=False)
    assert divisor == pytest.approx(4.0, rel=0.1)
    assert factor == pytest.approx(1 / divisor, rel=1e-4)
    assert same == pytest.approx(loss)
    assert loss < temperature.fit(logits * 4, labels, bounds=(-0.1, 0.1), divide=True)[1]


def test_softmax_of_one_row_and_of_many() -> None:
    logits = np.random.default_rng(0).normal(size=(5, 4))
    assert np.array_equal(temperature.softmax(logits), special.softmax(logits, axis=1))
    assert np.array_equal(temperature.softmax(logits[0], 2.0), temperature.softmax(logits / 2)[0])
