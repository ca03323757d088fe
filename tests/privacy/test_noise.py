"""The noise of each mechanism has the covariance of its theory; factorisations have their invariants."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from hallmark.privacy import banded, tree
from hallmark.privacy.keys import Key
from hallmark.privacy.noise import Banded, Noise, Tree, White

SIZE = 120_000  # elements: a variance is known to 0.4 %


def rows(noise: Noise, steps: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.array([noise.draw(step)[0] for step in range(steps)])


def covariance(noise: Noise, steps: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    drawn = rows(noise, steps)
    return np.asarray(drawn @ drawn.T / SIZE)


@pytest.mark.parametrize("bandwidth", [1, 2, 5, 12])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_columns_have_norm_1_and_the_band_is_kept(bandwidth: int, momentum: float) -> None:
    matrix = banded.optimised(steps=12, bandwidth=bandwidth, momentum=momentum).matrix()
    np.testing.assert_allclose(np.linalg.norm(matrix, axis=0), 1, atol=1e-12)
    rows, columns = np.nonzero(np.abs(matrix) > 0)
    assert (rows >= columns).all()
    assert (rows - columns).max() == bandwidth - 1
    # columns of steps that one unit's participations are apart share no rows
    np.testing.assert_allclose(matrix[:, 0] @ matrix[:, bandwidth:], 0, atol=0)


def test_a_strategy_is_a_minimum_of_the_error_of_the_sums() -> None:
    def error(coefficients: tuple[float, ...]) -> float:
        strategy = banded.Strategy(coefficients=coefficients, steps=200)
        norm = np.linalg.norm(coefficients)
        return banded.rms_error(strategy) * float(norm)

    best = banded.optimised(steps=200, bandwidth=4)
    for index, change in itertools.product(range(4), (-0.02, 0.02)):
        moved = list(best.coefficients)
        moved[index] += change
        assert error(tuple(moved)) > error(best.coefficients)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_gradient_of_the_error_is_exact(momentum: float) -> None:
    ratios = np.array([0.5, 0.7, 0.9, 0.6])
    _, gradient = banded._by_ratios(ratios, 50, momentum)
    for index, slope in enumerate(gradient):
        step = np.eye(4)[index] * 1e-5
        ends = [banded._by_ratios(ratios + sign * step, 50, momentum)[0] for sign in (1, -1)]
        assert slope == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5)


def test_the_error_is_that_of_the_matrices() -> None:
    for bandwidth, momentum in ((1, 0.0), (6, 0.0), (6, 0.9)):
        strategy = banded.optimised(steps=150, bandwidth=bandwidth, momentum=momentum)
        lags = np.subtract.outer(np.arange(150), np.arange(150))
        weights = (1 - momentum ** (lags + 1.0)) / (1 - momentum) if momentum else np.ones_like(lags, dtype=float)
        sums = np.where(lags >= 0, weights, 0.0) @ np.linalg.inv(strategy.matrix())
        assert banded.rms_error(strategy, momentum=momentum) == pytest.approx(
            math.sqrt(np.square(sums).sum() / 150), rel=0.02
        )


def test_wider_bands_lower_the_error_at_the_same_noise() -> None:
    errors = [banded.rms_error(banded.optimised(steps=400, bandwidth=each)) for each in (1, 2, 4, 8, 16, 32)]
    assert all(later < earlier for earlier, later in itertools.pairwise(errors))
    assert errors[0] == pytest.approx(math.sqrt(401 / 2))


def test_white_noise_is_white() -> None:
    np.testing.assert_allclose(covariance(White(Key.fixed(0), sizes=[SIZE]), 4), np.eye(4), atol=0.01)


def test_banded_noise_has_the_covariance_of_the_inverse() -> None:
    strategy = banded.optimised(steps=9, bandwidth=3)
    inverse = np.linalg.inv(strategy.matrix())
    expected = inverse @ inverse.T
    drawn = covariance(Banded(Key.fixed(0), sizes=[SIZE], strategy=strategy), 9)
    np.testing.assert_allclose(drawn, expected, atol=0.01 * expected.max())


def test_banded_noise_is_c_inverse_times_white_noise() -> None:
    strategy = banded.optimised(steps=7, bandwidth=3)
    white = rows(White(Key.fixed(0), sizes=[5]), 7)
    drawn = rows(Banded(Key.fixed(0), sizes=[5], strategy=strategy), 7)
    np.testing.assert_allclose(strategy.matrix() @ drawn, white, atol=1e-12)


def test_tree_noise_has_honaker_s_variance_at_each_prefix() -> None:
    drawn = rows(Tree(Key.fixed(0), sizes=[SIZE]), 9)
    variances = np.cumsum(drawn, axis=0).var(axis=1)
    expected = [tree.prefix_variance(step) for step in range(1, 10)]
    np.testing.assert_allclose(variances, expected, rtol=0.015)
    # at most one node of each height, and each estimate is better than its own noise
    assert max(expected) <= 4
    assert tree.node_variance(1) == pytest.approx(2 / 3)
    assert tree.node_variance(30) == pytest.approx(0.5)


def test_nodes_of_a_tree_are_independent_of_each_other() -> None:
    """The sums after 2 and over steps 3 and 4 share no noise but through nodes above both."""
    drawn = rows(Tree(Key.fixed(0), sizes=[SIZE]), 3)
    first, third = drawn[:2].sum(axis=0), drawn[2]
    assert np.corrcoef(first, third)[0, 1] == pytest.approx(0, abs=0.01)


def brute_sensitivity(steps: int, groups: int) -> float:
    worst = 0.0
    for group in range(groups):
        squares = 0
        for height in range(steps.bit_length()):
            for node in range(steps >> height):
                inside = range(node << height, (node + 1) << height)
                squares += sum(step % groups == group for step in inside) ** 2
        worst = max(worst, squares)
    return math.sqrt(worst)


@pytest.mark.parametrize(("steps", "groups"), [(1, 1), (8, 8), (8, 1), (13, 4), (37, 10), (64, 16)])
def test_the_sensitivity_of_a_tree_counts_every_released_node(steps: int, groups: int) -> None:
    assert tree.sensitivity(steps=steps, groups=groups) == pytest.approx(brute_sensitivity(steps, groups))


@pytest.mark.parametrize("kind", ["white", "banded", "tree"])
def test_a_resumed_stream_goes_on_with_the_same_noise(kind: str) -> None:
    def made() -> Noise:
        if kind == "white":
            return White(Key.fixed(3), sizes=[4, 2])
        if kind == "tree":
            return Tree(Key.fixed(3), sizes=[4, 2])
        return Banded(Key.fixed(3), sizes=[4, 2], strategy=banded.optimised(steps=12, bandwidth=4))

    whole, resumed = made(), made()
    draws = [whole.draw(step) for step in range(12)]
    resumed.advance(7)
    for step in range(7, 12):
        for one, other in zip(resumed.draw(step), draws[step], strict=True):
            np.testing.assert_array_equal(one, other)
    with pytest.raises(AssertionError, match="step 3 drawn, but 12 is next"):
        resumed.draw(3)


def test_tensors_have_noise_of_their_own() -> None:
    for noise in (White(Key.fixed(0), sizes=[3, 3]), Tree(Key.fixed(0), sizes=[3, 3])):
        one, other = noise.draw(0)
        assert not np.isin(one, other).any()
