"""Paired intervals hold what they promise, and the correction for overlapping training sets widens them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hallmark.judgement import paired


def test_the_interval_is_the_paired_t_interval() -> None:
    a, b = [0.91, 0.93, 0.92, 0.95, 0.9], [0.9, 0.91, 0.92, 0.92, 0.9]
    interval = paired.interval(paired.differences(a, b))
    wanted = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert interval["ci95"] == pytest.approx([wanted.low, wanted.high])
    assert interval["value"] == pytest.approx(np.mean(a) - np.mean(b))


def test_it_covers_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    inside = 0
    for _ in range(2000):
        low, high = paired.interval((generator.normal(0.01, 0.02, size=5)).tolist())["ci95"]
        inside += low <= 0.01 <= high
    assert 0.935 <= inside / 2000 <= 0.965


def test_overlapping_training_sets_widen_it() -> None:
    values = [0.9, 0.91, 0.93, 0.92, 0.94]
    plain, corrected = paired.interval(values), paired.interval(values, overlap=1 / 4)
    ratio = np.diff(corrected["ci95"])[0] / np.diff(plain["ci95"])[0]
    assert ratio == pytest.approx(np.sqrt((1 / 5 + 1 / 4) / (1 / 5)))


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ([0.01, 0.011, 0.012], "keep"),
        ([-0.01, -0.011, -0.012], "drop"),
        ([0.01, -0.01, 0.02], "cannot tell"),
        ([0.0, 0.0, 0.0], "cannot tell"),
        ([0.5], "cannot tell"),
        ([0.1, None, 0.1], "cannot tell"),
    ],
)
def test_the_verdict_follows_the_whole_interval(gains: list[float | None], verdict: str) -> None:
    assert paired.verdict(paired.interval(gains)) == verdict
