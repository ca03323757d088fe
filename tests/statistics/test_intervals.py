"""Clusters are drawn whole, within the class of their first image; the t interval is scipy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from hallmark.statistics import intervals
from hallmark.statistics.intervals import (
    basic,
    bootstrap,
    effective,
    percentile,
    proportion,
    student,
    undefined,
    wilson,
)


def test_clusters_are_drawn_whole_and_classes_keep_their_clusters() -> None:
    labels = np.repeat([0, 1], [6, 9])
    clusters = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4])
    weights = bootstrap(lambda drawn: {"drawn": drawn}, labels, clusters, replicates=50, seed=0)["drawn"]
    by_cluster = weights.reshape(50, 5, 3)
    assert (by_cluster == by_cluster[..., :1]).all()
    assert (by_cluster[:, :2, 0].sum(axis=1) == 2).all()
    assert (by_cluster[:, 2:, 0].sum(axis=1) == 3).all()
    assert len(np.unique(weights, axis=0)) > 5


def test_the_t_interval_agrees_with_scipy() -> None:
    values = [0.2, 0.5, 0.4, 0.9]
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert student(values) == pytest.approx((high - low) / 2)
    assert student(values, overlap=0.75) == pytest.approx(2 * student(values))


@pytest.mark.parametrize("chunk", [1, 7 * 15, 49 * 15, 50 * 15])
def test_chunks_do_not_change_the_replicates(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    labels, clusters = np.repeat([0, 1], [6, 9]), np.arange(15)
    sizes = []

    def statistic(weights: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> dict[str, Any]:
        sizes.append(len(weights))
        return {"first": weights[:, 0], "all": weights}

    whole = bootstrap(statistic, labels, clusters, replicates=50, seed=4)
    assert sizes == [50]
    monkeypatch.setattr(intervals, "CHUNK", chunk)
    parts = bootstrap(statistic, labels, clusters, replicates=50, seed=4)
    assert max(sizes[1:]) == max(1, chunk // 15)
    assert sum(sizes[1:]) == 50
    for name in ("first", "all"):
        np.testing.assert_array_equal(parts[name], whole[name])
    assert not np.array_equal(whole["all"], bootstrap(statistic, labels, clusters, replicates=50, seed=5)["all"])


def test_each_cluster_of_a_class_is_drawn_equally_often() -> None:
    # clusters in another order than classes, and of unequal sizes
    labels = np.array([1, 0, 1, 0, 0, 1, 1, 1])
    clusters = np.array([9, 2, 9, 5, 5, 7, 1, 1])
    weights = bootstrap(lambda drawn: {"drawn": drawn}, labels, clusters, replicates=6000, seed=0)["drawn"]
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.06)
    np.testing.assert_array_equal(weights[:, 1] + weights[:, 3], 2)
    np.testing.assert_array_equal(weights[:, 0] + weights[:, 5] + weights[:, 6], 3)


def test_a_cluster_of_two_classes_is_drawn_with_the_class_of_its_first_image() -> None:
    labels, clusters = np.array([0, 1, 0, 1]), np.array([3, 3, 4, 5])
    weights = bootstrap(lambda drawn: {"drawn": drawn}, labels, clusters, replicates=40, seed=0)["drawn"]
    np.testing.assert_array_equal(weights[:, 0], weights[:, 1])
    np.testing.assert_array_equal(weights[:, 0] + weights[:, 2], 2)
    np.testing.assert_array_equal(weights[:, 3], 1)


@pytest.mark.parametrize(("right", "n"), [(0, 5), (3, 7), (7, 7), (40, 90)])
def test_the_score_interval_agrees_with_scipy(right: int, n: int) -> None:
    expected = stats.binomtest(right, n).proportion_ci(method="wilson")
    assert wilson(right / n, n) == pytest.approx(tuple(expected))


def test_the_score_interval_of_no_trial_is_everything() -> None:
    assert wilson(0.5, 0) == wilson(0.5, -1) == (0.0, 1.0)
    low, high = wilson(1.0, 1e-9)
    assert 0 <= low < 1e-6
    assert high == 1.0
    assert wilson(0.5, 0.5) == pytest.approx((0.5 - 0.47 / 1, 0.97), abs=0.01)


def test_a_percentile_interval_leaves_out_undefined_replicates_and_holds_the_value() -> None:
    replicates = np.append(np.arange(101) / 100, [np.nan, np.inf])
    for interval in (percentile(0.5, replicates), proportion(0.5, replicates, 10)):
        assert interval == {"value": 0.5, "ci95": pytest.approx([0.025, 0.975])}
    for value, ends in ((0.01, [0.01, 0.975]), (0.99, [0.025, 0.99])):
        for interval in (percentile(value, replicates), proportion(value, replicates, 10)):
            assert interval == {"value": value, "ci95": pytest.approx(ends)}


def test_where_replicates_agree_a_share_has_the_score_interval_and_another_quantity_none() -> None:
    replicates = np.ones(20)
    assert proportion(1.0, replicates, 12)["ci95"] == pytest.approx(list(wilson(1.0, 12)))
    assert percentile(1.0, replicates)["ci95"] == [1.0, 1.0]
    # of a value that the replicates miss, it is cut open
    assert proportion(0.2, np.zeros(5), 1e6)["ci95"][0] <= 0.2


@pytest.mark.parametrize(
    ("value", "replicates"), [(np.nan, [0.5, 0.6]), (np.inf, [0.5, 0.6]), (0.5, []), (0.5, [np.nan, np.inf])]
)
def test_without_a_value_or_a_replicate_there_is_no_interval(value: float, replicates: list[float]) -> None:
    assert undefined() == {"value": None, "ci95": [None, None]}
    assert percentile(value, np.array(replicates)) == undefined()
    assert proportion(value, np.array(replicates), 10) == undefined()


def test_the_basic_interval_is_reflected_cut_at_0_and_holds_the_value() -> None:
    spread = np.arange(101) / 100
    assert basic(0.6, spread) == {"value": 0.6, "ci95": pytest.approx([0.225, 1.175])}
    assert basic(0.4, spread) == {"value": 0.4, "ci95": pytest.approx([0.0, 0.775])}
    assert basic(0.2, spread + 0.5)["ci95"] == pytest.approx([0.0, 0.2])
    assert basic(2.0, spread)["ci95"] == pytest.approx([2.0, 3.975])


def test_samples_of_classes_are_worth_their_harmonic_mean() -> None:
    assert effective(np.array([10.0, 10.0])) == pytest.approx(20)
    assert effective(np.array([4.0, 12.0])) == pytest.approx(4 / (1 / 4 + 1 / 12))
    assert effective(np.array([4.0, 0.0, 12.0])) == pytest.approx(4 / (1 / 4 + 1 / 12))
    assert effective(np.zeros(3)) == effective(np.zeros(0)) == 0.0
    assert effective(np.array([0.5])) == pytest.approx(0.5)
