"""Clusters are drawn whole, within the class of their first image; the t interval is scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hallmark.statistics.intervals import bootstrap, student


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
