"""A generator of wrong classes is refused; one wrong class does not affect the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hallmark.synthesis import faithfulness

if TYPE_CHECKING:
    import numpy as np

    from hallmark.synthesis.gate import Gate
    from tests.synthesis.conftest import Digits

NAMES = ["zero", "one", "two", "three", "four"]


def judge(digits: Digits, targets: np.ndarray) -> tuple[faithfulness.Agreement, Gate, set[int]]:
    agreement = faithfulness.measure(digits.more, targets, digits.train, digits.labels, digits.val, digits.truth)
    gate, failed = faithfulness.gate(agreement, targets, digits.truth, names=NAMES, min_agreement=0.7)
    return agreement, gate, failed


def test_right_images_pass(digits_split: Digits) -> None:
    agreement, gate, failed = judge(digits_split, digits_split.more_labels)
    assert gate.passed
    assert not failed
    assert gate.figures["agreement"] > 0.9
    assert agreement.probability[agreement.agrees].min() >= 0.2


def test_a_generator_of_wrong_classes_is_refused(digits_split: Digits) -> None:
    _, gate, failed = judge(digits_split, (digits_split.more_labels + 1) % 5)
    assert not gate.passed
    assert failed == set(range(5))
    assert gate.figures["agreement"] < 0.1


def test_one_wrong_class_fails_alone(digits_split: Digits) -> None:
    targets = digits_split.more_labels.copy()
    targets[targets == 4] = 0  # its images are asked for as zeros, and all zeros are dropped from the request
    keep = digits_split.more_labels != 0
    agreement = faithfulness.measure(
        digits_split.more[keep], targets[keep], digits_split.train, digits_split.labels, digits_split.val,
        digits_split.truth,
    )  # fmt: skip
    gate, failed = faithfulness.gate(agreement, targets[keep], digits_split.truth, names=NAMES, min_agreement=0.7)
    assert gate.passed
    assert failed == {0}
    assert "not faithful: zero" in gate.reason
    passed = {row["label"]: row["passed"] for row in gate.figures["classes"]}
    assert passed == {"zero": False, "one": True, "two": True, "three": True}


def test_the_bound_is_relative_to_what_real_images_reach(digits_split: Digits) -> None:
    _, gate, _ = judge(digits_split, digits_split.more_labels)
    assert gate.figures["least_agreement"] == pytest.approx(0.7 * gate.figures["accuracy_held_out"], rel=1e-4)
