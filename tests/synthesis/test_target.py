"""Which classes get how many images."""

from __future__ import annotations

from typing import Any

import pytest

from hallmark.contracts.errors import InputError
from hallmark.synthesis import target

COUNTS = {"a": 100, "b": 80, "c": 60, "d": 30, "e": 5}


def wants(**change: Any) -> dict[str, int]:
    values = {"target": "median", "classes": "rarest", "rare_below": 0.6, "most_per_real": 9.0, "min_real": 1}
    return {want.label: want.wanted for want in target.of_classes(COUNTS, **{**values, **change})}


def test_median_fills_up_the_rarest() -> None:
    assert wants() == {"d": 30, "e": 45}
    assert wants(rare_below=0.1) == {"e": 45}
    assert wants(rare_below=0.05) == {}


def test_all_and_named_classes() -> None:
    assert wants(classes="all") == {"d": 30, "e": 45}
    assert wants(classes=["a", "d"]) == {"d": 30}


def test_counts_are_what_a_class_shall_have() -> None:
    assert wants(target={"a": 120, "b": 10}) == {"a": 20}


def test_bounds_are_reported() -> None:
    wants = target.of_classes(
        COUNTS, target="median", classes="rarest", rare_below=0.6, most_per_real=0.5, min_real=6
    )  # fmt: skip
    assert [(want.label, want.wanted) for want in wants] == [("d", 15), ("e", 0)]
    assert wants[0].note == "at most 0.5 for each real image"
    assert wants[1].note == "fewer than 6 real images"


@pytest.mark.parametrize("change", [{"target": {"z": 9}}, {"classes": ["z"]}])
def test_an_unknown_class_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="the training images have no class z; name some of"):
        wants(**change)
