"""The order of an epoch: a permutation with repeats, or weighted draws, from (plan, seed, epoch) alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hallmark.sampling.order import epoch_order


def table(repeats: list[int], probability: list[float] | None = None) -> pd.DataFrame:
    shares = np.array(probability if probability else repeats, dtype=float)
    return pd.DataFrame({"repeats": np.array(repeats, dtype=np.int32), "probability": shares / shares.sum()})


@settings(max_examples=30)
@given(
    repeats=st.lists(st.integers(0, 4), min_size=1, max_size=40).filter(any),
    seed=st.integers(0, 5),
    epoch=st.integers(0, 5),
)
def test_sequential_shows_each_row_as_often_as_planned(repeats: list[int], seed: int, epoch: int) -> None:
    order = epoch_order(table(repeats), seed=seed, epoch=epoch, sampler="sequential")
    assert order.dtype == np.int64
    assert np.bincount(order, minlength=len(repeats)).tolist() == repeats


def test_order_depends_on_seed_and_epoch() -> None:
    plan = table([1] * 50)
    first = epoch_order(plan, seed=0, epoch=0, sampler="sequential")
    assert np.array_equal(first, epoch_order(plan, seed=0, epoch=0, sampler="sequential"))
    assert not np.array_equal(first, epoch_order(plan, seed=0, epoch=1, sampler="sequential"))
    assert not np.array_equal(first, epoch_order(plan, seed=1, epoch=0, sampler="sequential"))
    assert not np.array_equal(first, np.arange(50))


def test_weighted_draws_follow_the_probabilities() -> None:
    plan = table([1] * 100, [9.0] * 50 + [1.0] * 50)
    drawn = np.concatenate([epoch_order(plan, seed=0, epoch=epoch, sampler="weighted") for epoch in range(50)])
    assert len(drawn) == 5000
    assert abs((drawn < 50).mean() - 0.9) < 0.03  # 4 standard errors are 0.017


def test_a_row_of_no_probability_is_never_drawn_and_drawing_repeats_rows() -> None:
    plan = table([1] * 50, [0.0] * 10 + [1.0] * 40)
    drawn = epoch_order(plan, seed=0, epoch=0, sampler="weighted")
    assert drawn.dtype == np.int64
    assert len(drawn) == 50
    assert drawn.min() >= 10
    assert len(set(drawn)) < 40


def test_probabilities_need_not_sum_to_exactly_1() -> None:
    plan = table([1] * 10, [1.0] * 5 + [2.0] * 5)
    scaled = plan.assign(probability=plan["probability"] * (1 + 1e-6))
    ours, theirs = (epoch_order(frame, seed=0, epoch=0, sampler="weighted") for frame in (plan, scaled))
    assert np.array_equal(ours, theirs)


def test_an_unknown_sampler_is_rejected() -> None:
    with pytest.raises(AssertionError, match="unknown sampler 'stratified'"):
        epoch_order(table([1]), seed=0, epoch=0, sampler="stratified")


def test_the_order_is_the_same_in_every_release() -> None:
    # another order would change every training of the same params
    assert epoch_order(table([1] * 8), seed=0, epoch=3, sampler="sequential").tolist() == [7, 6, 0, 2, 4, 3, 1, 5]
    assert epoch_order(table([1] * 8), seed=0, epoch=3, sampler="weighted").tolist() == [0, 1, 6, 6, 7, 4, 3, 1]
