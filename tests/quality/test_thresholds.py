"""Limits of the findings: their ranges, and which findings may quarantine."""

from __future__ import annotations

from typing import Any

import pytest

from hallmark.contracts.errors import InputError
from hallmark.contracts.reasons import REASONS
from hallmark.quality.thresholds import CHOOSABLE, Thresholds

SOUND: dict[str, Any] = {
    "blank_contrast": 0.004,
    "low_contrast": 0.04,
    "dark_highlight": 0.15,
    "bright_shadow": 0.85,
    "blurry_sharpness": 0.03,
    "blurry_share": 0.08,
    "noisy_noise": 0.06,
    "spread": 4.0,
}


def test_findings_that_may_quarantine_are_reasons_of_the_closed_list() -> None:
    assert set(CHOOSABLE) <= set(REASONS)
    assert len(set(CHOOSABLE)) == len(CHOOSABLE) == 10


@pytest.mark.parametrize("name", SOUND)
def test_a_negative_limit_is_refused_by_name(name: str) -> None:
    Thresholds(**SOUND)
    with pytest.raises(InputError, match=rf"^{name} is -0\.01"):
        Thresholds(**{**SOUND, name: -0.01})


@pytest.mark.parametrize(
    ("name", "least_refused"),
    [("blank_contrast", 0.51), ("low_contrast", 0.51), ("dark_highlight", 1.01), ("bright_shadow", 1.01)],
)
def test_a_limit_above_its_range_is_refused(name: str, least_refused: float) -> None:
    Thresholds(**{**SOUND, name: least_refused - 0.01})
    with pytest.raises(InputError, match=f"{name} is {least_refused}"):
        Thresholds(**{**SOUND, name: least_refused})
