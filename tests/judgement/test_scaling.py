"""Temperature scaling: fitted on validation, judged on test."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from hallmark.judgement import scaling


def images(labels: list[str]) -> pd.DataFrame:
    names = [str(number) for number in range(len(labels))]
    return pd.DataFrame({"path": names, "label": labels, "cluster": names})


def test_overconfident_logits_are_scaled_and_the_test_set_judged_with_them() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(3000, 2)) * 2
    labels = [("cat", "dog")[int(generator.random() < row[1])] for row in softmax(logits, axis=1)]
    val, test = slice(0, 2000), slice(2000, None)
    scaled = scaling.scaled(
        images(labels[val]), logits[val] * 3, images(labels[test]), logits[test] * 3, ["cat", "dog"]
    )
    assert scaled["temperature"] == pytest.approx(3, rel=0.15)
    right = softmax(logits[test] * 3 / float(scaled["temperature"] or 0), axis=1)
    index = np.array([("cat", "dog").index(label) for label in labels[test]])
    assert scaled["log_loss_scaled"] == pytest.approx(-np.log(right[np.arange(1000), index]).mean())
    assert scaled["ece_scaled"] is not None
    assert 0 <= scaled["ece_scaled"] < 0.06


def test_without_a_validation_image_nothing_is_scaled() -> None:
    nothing = scaling.scaled(images([]), np.zeros((0, 2)), images(["cat"]), np.zeros((1, 2)), ["cat", "dog"])
    assert nothing == {"temperature": None, "log_loss_scaled": None, "ece_scaled": None}


def test_a_test_label_that_the_model_does_not_know_is_a_mistake_of_finite_loss() -> None:
    logits = np.random.default_rng(1).normal(size=(60, 2))
    labels = [("cat", "dog")[number % 2] for number in range(60)]
    scaled = scaling.scaled(images(labels), logits, images([*labels[:-1], "emu"]), logits, ["cat", "dog"])
    assert scaled["log_loss_scaled"] is not None
    assert np.isfinite(scaled["log_loss_scaled"])
