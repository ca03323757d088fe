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
    divisor, loss = temperature.fit(logits * 4, labels, bounds=(-3.0, 3.0), divide=True, capped=True)
    factor, same = temperature.fit(logits * 4, labels, bounds=(-3.0, 3.0), divide=False, capped=False)
    assert divisor == pytest.approx(4.0, rel=0.1)
    assert factor == pytest.approx(1 / divisor, rel=1e-4)
    assert same == pytest.approx(loss)
    assert loss < temperature.fit(logits * 4, labels, bounds=(-0.1, 0.1), divide=True, capped=True)[1]


def test_softmax_of_one_row_and_of_many() -> None:
    logits = np.random.default_rng(0).normal(size=(5, 4))
    assert np.array_equal(temperature.softmax(logits), special.softmax(logits, axis=1))
    assert np.array_equal(temperature.softmax(logits[0], 2.0), temperature.softmax(logits / 2)[0])


def test_probabilities_are_float64_whatever_the_logits_are() -> None:
    assert temperature.softmax(np.zeros((2, 2), np.float32)).dtype == np.float64


def test_probabilities_are_rescaled_as_their_logits() -> None:
    logits = np.random.default_rng(0).normal(size=(5, 4))
    for scale in (0.5, 1.0, 3.0):
        again = temperature.rescaled(temperature.softmax(logits), scale)
        np.testing.assert_allclose(again, temperature.softmax(logits, scale))
    assert temperature.rescaled(np.array([0.0, 1.0]), 2.0).tolist() == [0.0, 1.0]
    assert temperature.rescaled(np.array([0.0, 0.5, 0.5]), 0.5) == pytest.approx([0, 0.5, 0.5])


@pytest.mark.parametrize("divide", [True, False])
def test_the_fit_minimises_the_loss_within_its_bounds(divide: bool) -> None:
    random = np.random.default_rng(1)
    logits = random.normal(size=(200, 3))
    labels = np.array([random.choice(3, p=row) for row in temperature.softmax(logits)])

    def loss(scale: float) -> float:
        probabilities = temperature.softmax(logits * (1 / scale if divide else scale))
        return float(-np.log(probabilities[np.arange(200), labels]).mean())

    scale, least = temperature.fit(logits, labels, bounds=(-2.0, 2.0), divide=divide, capped=False)
    assert least == pytest.approx(loss(scale))
    assert least < min(loss(scale * 1.02), loss(scale / 1.02))
    for bounds in ((1.0, 1.5), (-1.5, -1.0)):
        ended, worse = temperature.fit(logits, labels, bounds=bounds, divide=divide, capped=False)
        assert np.exp(bounds[0]) < ended < np.exp(bounds[1])
        assert worse > least
