"""Principal components: fitted on one set, applied to others."""

from __future__ import annotations

import numpy as np
import pytest

from hallmark.statistics import components as module
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


def test_scores_are_those_of_scikit_learn_but_for_sign_and_scale() -> None:
    features = stretched()
    ours, theirs = Components.fit(features).of(features), principal(features, 3).fit_transform(features)
    scale = 1 / np.sqrt(features.astype(np.float64).var(axis=0).sum())
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs) * scale, atol=1e-4)


def test_at_most_96_components_are_kept_the_strongest_first() -> None:
    features = (np.random.default_rng(0).normal(size=(300, 100)) * np.arange(1, 101)).astype(np.float32)
    components = Components.fit(features)
    assert components.axes.shape == (100, 96)
    spread = components.of(features).std(axis=0)
    assert (np.diff(spread) <= 1e-6).all()
    assert (spread.astype(np.float64) ** 2).sum() == pytest.approx(1, rel=1e-4)


def test_of_many_images_evenly_spaced_ones_are_fitted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    assert module._FIT_ON == 20_000
    monkeypatch.setattr(module, "_FIT_ON", 100)
    for n, step in ((100, 1), (101, 2), (200, 2), (201, 3)):
        many = stretched(n)
        np.testing.assert_array_equal(
            Components.fit(many).mean, many[::step].astype(np.float64).mean(axis=0).astype("f4")
        )


def test_components_are_float32_and_equal_images_have_scores_of_0() -> None:
    components = Components.fit(stretched())
    assert components.mean.dtype == components.axes.dtype == np.float32
    assert isinstance(components.scale, float)
    assert components.of(stretched().astype(np.float64)).dtype == np.float32
    equal = Components.fit(np.ones((5, 3), np.float32))
    assert equal.scale == pytest.approx(1e6)
    assert not equal.of(np.ones((2, 3), np.float32)).any()


def test_scikit_learn_s_is_not_whitened_unless_asked_for() -> None:
    scores = principal(stretched(), 2).fit_transform(stretched())
    assert scores.std(axis=0) == pytest.approx([5, 2], rel=0.1)
    assert principal(stretched(), 2).svd_solver == "covariance_eigh"
