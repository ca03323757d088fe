"""Outliers move neither the centre nor the spread."""

from __future__ import annotations

import numpy as np
import pytest

from hallmark.statistics.robust import centre


def test_a_normal_sample_keeps_its_deviation_beside_outliers() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, 20_000)
    values[:200] = 1e6
    middle, deviation = centre(values)
    assert middle == pytest.approx(3.0, abs=0.1)
    assert deviation == pytest.approx(2.0, rel=0.05)
    assert centre(np.array([7.0])) == (7.0, 0.0)


def test_an_even_number_of_values_has_the_middle_of_two() -> None:
    assert centre(np.array([1.0, 2.0, 4.0, 100.0])) == pytest.approx((3.0, 1.4826 * 1.5))
