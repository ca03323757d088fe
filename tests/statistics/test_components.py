"""Principal components: fitted on one set, applied to others."""

from __future__ import annotations

import numpy as np
import pytest

from hallmark.statistics.components import Components, principal


def stretched(n: int = 400) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Features that vary by 5, 2 and 0.1 along three axes, about a mean of 10."""
    return (np.random.default_rng(0).normal(size=(n, 3)) * [2, 5, 0.1] + 10).astype(np.float32)


def test_the_first_component_is_the_axis_of_most_variance() -> None:
    components = Components.fit(stretched())
    assert components.mean == pytest.approx([10, 10, 10], abs=0.5)
    assert np.abs(components.axes[:, 0]) == pytest.approx([0, 1, 0], abs=0.05)
    assert np.abs(components.axes[:, 1]) == pytest.approx([1, 0, 0], abs=0.05)


def test_components_have_a_mean_squared_length_of_1_on_what_they_are_fitted_on() -> None:
    scores = Components.fit(stretched()).of(stretched())
    assert scores.dtype == np.float32
    assert (scores.astype(np.float64) ** 2).sum(axis=1).mean() == pytest.approx(1, rel=1e-4)
    assert scores.mean(axis=0) == pytest.approx([0, 0, 0], abs=1e-4)


def test_n_images_have_n_minus_1_components_and_equal_ones_a_finite_scale() -> None:
    assert Components.fit(stretched(3)).axes.shape == (3, 2)
    assert Components.fit(stretched(1)).axes.shape == (3, 1)
    assert np.isfinite(Components.fit(np.ones((5, 3), np.float32)).scale)


def test_scikit_learn_s_keeps_as_many_as_there_can_be() -> None:
    assert principal(stretched(2), 5).n_components == 2
    assert principal(stretched(), 2).fit_transform(stretched()).shape == (400, 2)
    whitened = principal(stretched(), 2, whiten=True).fit_transform(stretched())
    assert whitened.std(axis=0) == pytest.approx([1, 1], rel=0.01)
