"""Both accountants against dp-accounting 0.6.0 (dp_accounting.csv, by benchmarks/privacy_accounting.py) and theory."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from hallmark.contracts.errors import InputError
from hallmark.privacy import accounting, calibration, contour
from hallmark.privacy.privacy_loss import Gaussian, Laplace, Mechanism

TABLE = Path(__file__).parent / "dp_accounting.csv"
ROWS = [
    {name: float(value) for name, value in row.items()}
    for row in csv.DictReader(TABLE.read_text(encoding="utf-8").splitlines())
]


def mechanisms(row: dict[str, float]) -> list[Mechanism]:
    steps = Gaussian(
        noise_multiplier=row["noise_multiplier"], sampling_rate=row["sampling_rate"], count=int(row["count"])
    )
    more: list[Mechanism] = [Gaussian(noise_multiplier=row["gaussian"])] if row["gaussian"] else []
    return [steps, *more, *([Laplace(scale=row["laplace"])] if row["laplace"] else [])]


def test_epsilon_lies_between_the_bounds_of_dp_accounting() -> None:
    assert len(ROWS) >= 200
    assert sum(row["laplace"] > 0 for row in ROWS) >= 30
    assert sum(row["sampling_rate"] == 1 for row in ROWS) >= 10
    wrong = []
    for row in ROWS:
        ours = accounting.epsilon(mechanisms(row), delta=row["delta"])
        if not row["optimistic"] - 1e-3 <= ours <= row["pessimistic"] + 1e-3:
            wrong.append((row, ours))
    assert wrong == []


def test_the_second_accountant_agrees_within_a_thousandth() -> None:
    rows = [row for row in ROWS if row["count"] >= 30][::5]
    assert len(rows) >= 25
    for row in rows:
        ours = accounting.epsilon(mechanisms(row), delta=row["delta"])
        assert contour.epsilon(mechanisms(row), delta=row["delta"]) == pytest.approx(ours, rel=1e-3)


def gaussian_delta(mu: float, epsilon: float) -> float:
    """Delta of a Gaussian mechanism of sensitivity mu (Balle and Wang 2018)."""
    return float(norm.cdf(mu / 2 - epsilon / mu) - math.exp(epsilon) * norm.cdf(-mu / 2 - epsilon / mu))


@pytest.mark.parametrize(("noise", "count"), [(0.8, 1), (5.0, 1), (5.0, 30), (50.0, 900)])
def test_the_gaussian_mechanism_has_its_closed_form(noise: float, count: int) -> None:
    released = [Gaussian(noise_multiplier=noise, count=count)]
    mu = math.sqrt(count) / noise
    for epsilon in (0.5, 2.0):
        assert accounting.delta(released, epsilon=epsilon) == pytest.approx(gaussian_delta(mu, epsilon), rel=1e-3)
    spent = accounting.epsilon(released, delta=1e-6)
    assert gaussian_delta(mu, spent) == pytest.approx(1e-6, rel=1e-3)
    assert contour.epsilon(released, delta=1e-6) == pytest.approx(spent, rel=1e-4)


def test_the_laplace_mechanism_is_purely_private_at_one_over_its_scale() -> None:
    released = [Laplace(scale=2.0)]
    assert accounting.epsilon(released, delta=1e-9) == pytest.approx(0.5, abs=1e-6)
    assert accounting.delta(released, epsilon=0.25) == pytest.approx(1 - math.exp((0.25 - 0.5) / 2), rel=1e-3)
    many = [Laplace(scale=2.0, count=50)]
    assert contour.epsilon(many, delta=1e-5) == pytest.approx(accounting.epsilon(many, delta=1e-5), rel=1e-4)


@settings(max_examples=10, deadline=None)
@given(
    noise=st.floats(0.5, 8),
    rate=st.floats(0.002, 0.5),
    count=st.integers(1, 800),
    exponent=st.integers(4, 8),
)
def test_bounds_enclose_and_epsilon_grows_with_exposure(noise: float, rate: float, count: int, exponent: int) -> None:
    delta = 10.0**-exponent

    def spent(noise: float, rate: float, count: int, bound: accounting.Bound = "pessimistic") -> float:
        released = [Gaussian(noise_multiplier=noise, sampling_rate=rate, count=count)]
        return accounting.epsilon(released, delta=delta, bound=bound)

    here = spent(noise, rate, count)
    assert spent(noise, rate, count, "optimistic") <= here + 1e-9
    assert here - spent(noise, rate, count, "optimistic") <= 0.01 * here + 2e-3
    assert spent(noise * 1.2, rate, count) <= here + 1e-6
    assert spent(noise, rate, count + 200) >= here - 1e-6
    assert spent(noise, min(1.0, 1.5 * rate), count) >= here - 1e-6


def test_delta_and_epsilon_are_inverse() -> None:
    released: list[Mechanism] = [
        Gaussian(noise_multiplier=1.0, sampling_rate=0.02, count=500),
        Gaussian(noise_multiplier=10.0),
        Laplace(scale=10.0),
    ]
    spent = accounting.epsilon(released, delta=1e-6)
    assert accounting.delta(released, epsilon=spent) == pytest.approx(1e-6, rel=1e-6)


def test_both_directions_count() -> None:
    """At a large delta, adding a unit to a subsampled Gaussian loses more than removing one."""
    one = Gaussian(noise_multiplier=0.5, sampling_rate=0.8)
    edges = np.linspace(-3, 3, 7)
    removed, added = one.masses(edges, "removed"), one.masses(edges, "added")
    np.testing.assert_allclose(removed[0], added[1][::-1], atol=1e-15)
    np.testing.assert_allclose(removed[1], added[0][::-1], atol=1e-15)
    for direction, (p, q) in (("removed", removed), ("added", added)):
        assert p.sum() == pytest.approx(1), direction
        # in each cell the ratio of the masses is within the cell's losses
        held = p[1:-1] > 0
        loss = np.log(p[1:-1][held] / q[1:-1][held])
        assert (loss >= edges[:-1][held] - 1e-9).all()
        assert (loss <= edges[1:][held] + 1e-9).all()
    greatest = accounting.delta([one], epsilon=0.0)
    assert greatest == pytest.approx(0.8 * gaussian_delta(2.0, 0.0), rel=1e-3)


def test_nothing_released_costs_nothing_and_a_record_twice_costs_more() -> None:
    assert accounting.epsilon([], delta=1e-5) == 0
    assert contour.epsilon([], delta=1e-5) == 0
    assert accounting.epsilon([Gaussian(noise_multiplier=1.0, count=0)], delta=1e-5) == 0
    once = Gaussian(noise_multiplier=2.018, sampling_rate=4096 / 60000, count=366)
    assert accounting.epsilon([once], delta=1e-5) == pytest.approx(2.996, abs=2e-3)
    # two copies in different batches: the noise is half as large against their sum
    twice = Gaussian(noise_multiplier=1.009, sampling_rate=4096 / 60000, count=366)
    assert accounting.epsilon([twice], delta=1e-5) > 6


def test_a_delta_that_the_grid_cannot_resolve_is_not_promised() -> None:
    assert accounting.epsilon([Gaussian(noise_multiplier=0.02, count=5)], delta=1e-5) == math.inf


@pytest.mark.parametrize("epsilon", [0.5, 3.0, 8.0])
def test_calibrated_noise_spends_the_budget_and_no_more(epsilon: float) -> None:
    def steps(noise: float) -> list[Gaussian]:
        return [Gaussian(noise_multiplier=noise, sampling_rate=0.01, count=1000)]

    target = calibration.Target(epsilon=epsilon, delta=1e-6, charges=(Gaussian(noise_multiplier=20.0),))
    noise = calibration.noise_multiplier(steps, target=target)
    assert epsilon * 0.999 < target.spent(steps(noise)) <= epsilon
    alone = calibration.Target(epsilon=epsilon, delta=1e-6)
    assert calibration.noise_multiplier(steps, target=alone) < noise


def test_a_budget_that_no_noise_keeps_is_refused_with_the_least_possible() -> None:
    target = calibration.Target(epsilon=0.3, delta=1e-5, charges=(Gaussian(noise_multiplier=10.0),))
    with pytest.raises(
        InputError, match=r"is 0.3, but the least possible is 0.340\d, of which other queries take 0.34"
    ):
        calibration.noise_multiplier(lambda noise: [Gaussian(noise_multiplier=noise)], target=target)


def test_noise_does_not_fall_below_the_least() -> None:
    target = calibration.Target(epsilon=50.0, delta=1e-5)
    few = calibration.noise_multiplier(
        lambda noise: [Gaussian(noise_multiplier=noise, sampling_rate=0.001, count=1)], target=target
    )
    assert few == calibration.LEAST_NOISE
