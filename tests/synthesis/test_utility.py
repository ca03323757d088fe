"""Images that mislead a model are refused, and the verdict follows from the pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from hallmark.synthesis import utility
from hallmark.transforms.policy import build

if TYPE_CHECKING:
    from hallmark.synthesis.gate import Gate
    from tests.synthesis.conftest import Digits

NAMES = ["zero", "one", "two", "three", "four"]


def pair(without: list[float], with_them: list[float]) -> utility.Trial:
    return utility.Trial(without=np.array(without), with_them=np.array(with_them))


def judge(pairs: list[utility.Trial], **bounds: float) -> Gate:
    return utility.gate(pairs, meant=[1], names=["a", "b"], **{"max_loss": 0.005, "min_gain": 0.0, **bounds})


def test_a_gain_passes() -> None:
    gate = judge([pair([0.9, 0.5], [0.9, 0.6]), pair([0.9, 0.5], [0.9, 0.58])])
    assert gate.passed
    assert gate.figures["difference"]["value"] == pytest.approx(0.045)
    assert gate.figures["recall_gain_of_classes_meant"]["value"] == pytest.approx(0.09)


def test_a_loss_is_refused() -> None:
    gate = judge([pair([0.9, 0.5], [0.7, 0.6]), pair([0.9, 0.5], [0.8, 0.5])])
    assert not gate.passed
    assert "worse" in gate.reason


def test_a_sure_loss_is_refused_however_small() -> None:
    pairs = [pair([0.9, 0.5], [0.897, 0.5]), pair([0.9, 0.5], [0.897, 0.5]), pair([0.9, 0.5], [0.8971, 0.5])]
    gate = judge(pairs)
    assert not gate.passed
    assert "worse" in gate.reason


def test_no_gain_for_the_classes_meant_is_refused() -> None:
    gate = judge([pair([0.8, 0.5], [0.9, 0.49]), pair([0.8, 0.5], [0.9, 0.48])])
    assert not gate.passed
    assert "do not gain" in gate.reason


@pytest.mark.parametrize("min_gain", [0.0, -1.0])
def test_without_a_validation_image_of_a_targeted_class_nothing_passes(min_gain: float) -> None:
    gate = judge([pair([0.8, np.nan], [0.9, np.nan]), pair([0.8, np.nan], [0.85, np.nan])], min_gain=min_gain)
    assert not gate.passed
    assert gate.reason.startswith("no validation image shows a targeted class (b), so that their gain is unknown")
    assert "recall" not in gate.reason
    assert gate.figures["recall_gain_of_classes_meant"] == {"value": None, "ci95": [None, None]}
    assert gate.figures["classes"] == []
    assert gate.figures["balanced_accuracy_with"] == pytest.approx(0.875)


def test_targeted_classes_without_validation_images_do_not_count() -> None:
    pairs = [pair([0.8, np.nan], [0.9, np.nan]), pair([0.8, np.nan], [0.85, np.nan])]
    gate = utility.gate(pairs, meant=[0, 1], names=["a", "b"], max_loss=0.005, min_gain=0.0)
    assert gate.passed
    assert [row["label"] for row in gate.figures["classes"]] == ["a"]
    assert gate.figures["recall_gain_of_classes_meant"]["value"] == pytest.approx(0.075)


def test_without_a_validation_image_nothing_passes() -> None:
    gate = judge([pair([np.nan, np.nan], [np.nan, np.nan])] * 2, min_gain=-1.0)
    assert not gate.passed
    assert gate.reason == "there is no validation image to measure them on"


def test_mislabelled_images_are_refused_and_right_ones_are_not(digits_split: Digits) -> None:
    policy = build([], height=8, width=8, channels=1)
    few = np.concatenate([np.flatnonzero(digits_split.labels == label)[:40] for label in range(5)])
    gates = []
    state = torch.get_rng_state()
    for targets in (np.full(len(digits_split.more), 3, dtype=np.int64), digits_split.more_labels):
        done = utility.trials(
            digits_split.train[few], digits_split.labels[few], digits_split.more, targets, digits_split.val,
            digits_split.truth, policy=policy, classes=5, pairs=2, steps=60, seed=0,
        )  # fmt: skip
        gates.append(utility.gate(done, meant=[3], names=NAMES, max_loss=0.02, min_gain=-1.0))
    assert torch.equal(state, torch.get_rng_state()), "the global generator was touched"
    misled, right = gates
    assert not misled.passed, misled.reason
    assert right.passed, right.reason
    assert right.figures["balanced_accuracy_without"] == misled.figures["balanced_accuracy_without"]
    assert right.figures["balanced_accuracy_without"] > 0.8
