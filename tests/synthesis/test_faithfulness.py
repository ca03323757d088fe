"""A generator of wrong classes is refused, and one wrong class does not cost the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hallmark.synthesis import faithfulness

if TYPE_CHECKING:
    import numpy as np

    from hallmark.synthesis.gate import Gate
    from tests.synthesis.conftest import Digits

NAMES = ["zero", "one", "two", "three", "four"]


def judge(digits: Digits, asked: np.ndarray) -> tuple[faithfulness.Agreement, Gate, set[int]]:
    found = faithfulness.measure(digits.more, asked, digits.train, digits.labels, digits.val, digits.truth)
    gate, failed = faithfulness.gate(found, asked, digits.truth, names=NAMES, min_agreement=0.7)
    return found, gate, failed


def test_right_images_pass(digits_split: Digits) -> None:
    found, gate, failed = judge(digits_split, digits_split.more_labels)
    assert gate.passed
    assert not failed
    assert gate.figures["agreement"] > 0.9
    assert found.probability[found.agrees].min() >= 0.2


def test_a_generator_of_wrong_classes_is_refused(digits_split: Digits) -> None:
    _, gate, failed = judge(digits_split, (digits_split.more_labels + 1) % 5)
    assert not gate.passed
    assert failed == set(range(5))
    assert gate.figures["agreement"] < 0.1


def test_one_wrong_class_fails_alone(digits_split: Digits) -> None:
    asked = digits_split.more_labels.copy()
    asked[asked == 4] = 0  # its images are asked for as zeros, and all zeros are dropped from the request
    keep = digits_split.more_labels != 0
    found = faithfulness.measure(
        digits_split.more[keep], asked[keep], digits_split.train, digits_split.labels, digits_split.val,
        digits_split.truth,
    )  # fmt: skip
    gate, failed = faithfulness.gate(found, asked[keep], digits_split.truth, names=NAMES, min_agreement=0.7)
    assert gate.passed
    assert failed == {0}
    assert "not faithful: zero" in gate.reason
    told = {row["label"]: row["passed"] for row in gate.figures["classes"]}
    assert told == {"zero": False, "one": True, "two": True, "three": True}


def test_the_bound_is_relative_to_what_real_images_reach(digits_split: Digits) -> None:
    _, gate, _ = judge(digits_split, digits_split.more_labels)
    assert gate.figures["least_agreement"] == pytest.approx(0.7 * gate.figures["accuracy_held_out"], rel=1e-4)
