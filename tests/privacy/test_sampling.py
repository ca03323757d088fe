"""Batches are those that the accounting assumes: independent draws, fixed groups, replayable."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hallmark.privacy.keys import Key
from hallmark.privacy.sampling import Sampler, rate

UNITS = tuple(f"unit {index}" for index in range(2000))


def sampler(groups: int = 1, batch_size: int = 100, seed: int = 0, units: tuple[str, ...] = UNITS) -> Sampler:
    share = rate(units=len(units), batch_size=batch_size, groups=groups)
    return Sampler(key=Key.fixed(seed), units=units, rate=share, groups=groups)


def test_poisson_batches_vary_as_binomials_do() -> None:
    sizes = np.array([len(sampler().batch(step)) for step in range(300)])
    assert sizes.mean() == pytest.approx(100, abs=2)
    assert sizes.var() == pytest.approx(2000 * 0.05 * 0.95, rel=0.25)


def test_each_unit_is_in_each_batch_independently() -> None:
    drawn = np.zeros((400, len(UNITS)))
    for step in range(400):
        drawn[step, sampler().batch(step)] = 1
    assert drawn.mean(axis=0).min() > 0
    assert drawn.mean(axis=0).std() == pytest.approx((0.05 * 0.95 / 400) ** 0.5, rel=0.1)
    assert np.corrcoef(drawn[:-1].ravel(), drawn[1:].ravel())[0, 1] == pytest.approx(0, abs=0.005)


def test_a_step_replays_in_any_order_and_a_new_key_does_not() -> None:
    first, second = sampler(), sampler()
    batches = [first.batch(step) for step in range(5)]
    for step in (3, 0, 4):
        np.testing.assert_array_equal(second.batch(step), batches[step])
    assert not np.array_equal(sampler(seed=1).batch(0), batches[0])


@settings(max_examples=20, deadline=None)
@given(groups=st.integers(1, 12), seed=st.integers(0, 1000))
def test_a_unit_takes_part_at_most_once_in_as_many_steps_as_there_are_groups(groups: int, seed: int) -> None:
    drawn = sampler(groups=groups, batch_size=100, seed=seed, units=UNITS[:1200])
    last = np.full(1200, -groups)
    for step in range(4 * groups):
        batch = drawn.batch(step)
        assert (step - last[batch] >= groups).all()
        last[batch] = step


def test_groups_are_about_even_and_batches_have_the_expected_size() -> None:
    cyclic = sampler(groups=5)
    assert cyclic.rate == Fraction(1, 4)
    sizes = [len(cyclic.batch(step)) for step in range(200)]
    assert np.mean(sizes) == pytest.approx(100, abs=3)


def test_the_group_of_a_unit_depends_on_no_other_unit() -> None:
    def group(of: Sampler, unit: str) -> int:
        return next(step for step in range(4) if of.units.index(unit) in of.batch(step))

    everyone = Sampler(key=Key.fixed(0), units=UNITS[:50], rate=Fraction(1), groups=4)
    fewer = Sampler(key=Key.fixed(0), units=UNITS[20:40], rate=Fraction(1), groups=4)
    groups = [group(everyone, unit) for unit in UNITS[20:40]]
    assert groups == [group(fewer, unit) for unit in UNITS[20:40]]
    assert set(groups) == {0, 1, 2, 3}


def test_batches_may_be_empty() -> None:
    few = Sampler(key=Key.fixed(0), units=("a", "b"), rate=Fraction(1, 100))
    sizes = [len(few.batch(step)) for step in range(50)]
    assert min(sizes) == 0
    assert few.batch(0).dtype == np.int64


def test_a_unit_listed_twice_or_a_rate_above_1_is_our_fault() -> None:
    with pytest.raises(AssertionError, match="listed twice"):
        Sampler(key=Key.fixed(0), units=("a", "a"), rate=Fraction(1, 2))
    with pytest.raises(AssertionError):
        rate(units=100, batch_size=60, groups=2)
