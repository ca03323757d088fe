"""Precision falls for noise, coverage for a collapsed generator; the two-sample test tells them from real images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from hallmark.synthesis import distribution

if TYPE_CHECKING:
    from hallmark.synthesis.gate import Gate
    from tests.synthesis.conftest import Digits


def judge(digits: Digits, images: np.ndarray, *, auc: float = 1.0) -> Gate:
    return distribution.gate(
        images, digits.more_labels, digits.train, digits.labels, digits.val, digits.truth,
        min_precision=0.5, min_coverage=0.3, max_two_sample_auc=auc, seed=0,
    )  # fmt: skip


def test_real_images_pass_and_are_not_distinguishable(digits_split: Digits) -> None:
    gate = judge(digits_split, digits_split.more, auc=0.75)
    assert gate.passed, gate.reason
    assert gate.figures["precision"] > 0.7
    assert gate.figures["coverage"] > 0.5
    assert gate.figures["precision"] == pytest.approx(gate.figures["held_out"]["precision"], abs=0.15)


def test_noise_has_no_precision(digits_split: Digits) -> None:
    noise = np.random.default_rng(0).integers(0, 256, digits_split.more.shape, dtype=np.uint8)
    gate = judge(digits_split, noise)
    assert not gate.passed
    assert gate.figures["precision"] < 0.1
    assert "precision" in gate.reason


def test_a_collapsed_generator_has_no_coverage(digits_split: Digits) -> None:
    first = np.array([np.flatnonzero(digits_split.more_labels == label)[0] for label in digits_split.more_labels])
    jitter = np.random.default_rng(0).integers(-3, 4, digits_split.more.shape)
    gate = judge(digits_split, np.clip(digits_split.more[first].astype(int) + jitter, 0, 255).astype(np.uint8))
    assert not gate.passed
    assert gate.figures["coverage"] < 0.3
    assert "coverage" in gate.reason


def test_two_sample_bound_refuses_distinguishable_images(digits_split: Digits) -> None:
    dimmed = (digits_split.more * 0.7).astype(np.uint8)
    gate = judge(digits_split, dimmed, auc=0.8)
    assert not gate.passed
    assert gate.figures["two_sample_auc"] > 0.8
    assert gate.figures["two_sample_p"] < 1e-4


@pytest.mark.parametrize("count", [2, 4])  # of two no figure is defined, of four no AUC
def test_too_few_images_to_judge_are_refused(digits_split: Digits, count: int) -> None:
    black = np.zeros((count, 8, 8, 1), dtype=np.uint8)

    def gate(**bounds: float) -> Gate:
        return distribution.gate(
            black, np.zeros(count, dtype=np.int64), digits_split.train, digits_split.labels, digits_split.val,
            digits_split.truth, seed=0, **bounds,
        )  # fmt: skip

    refused = gate(min_precision=0.0, min_coverage=0.0, max_two_sample_auc=0.95)
    assert not refused.passed
    assert refused.reason == "too few images of a class to compare distributions"
    assert gate(min_precision=0.5, min_coverage=0.0, max_two_sample_auc=1.0).passed is False
    assert gate(min_precision=0.0, min_coverage=0.3, max_two_sample_auc=1.0).passed is False
    assert gate(min_precision=0.0, min_coverage=0.0, max_two_sample_auc=1.0).passed, "these bounds ask nothing"


def test_figures_of_two_equal_sets_are_one() -> None:
    points = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    figures = distribution.prdc(points, points, k=3)
    assert figures["precision"] == figures["recall"] == figures["coverage"] == 1.0
    far = distribution.prdc(points, points + 100, k=3)
    assert set(far.values()) == {0.0}
