from __future__ import annotations

from typing import Any

import pytest

from hallmark.judgement.scheme import CHEAP, choose

SMALL: dict[str, Any] = {"images": 1999, "units": {"a": 1000, "b": 10}, "folds": 5, "epochs": 10, "values": 64}


@pytest.mark.parametrize(
    ("changes", "used", "why"),
    [
        ({}, "crossval", "1999 images, fewer than 2000"),
        ({"images": 2000}, "holdout", "2000 images, at least 2000"),
        (
            {"units": {"a": 1000, "b": 9}},
            "holdout",
            "class 'b' has 9 units (groups, duplicate clusters), fewer than 10 for",
        ),
        ({"units": {"a": 1000, "b": 9}, "folds": 4}, "crossval", ""),
        ({"images": 1000, "values": CHEAP // 10_000}, "crossval", "cheap"),
        (
            {"images": 1000, "values": CHEAP // 10_000 + 1},
            "holdout",
            "5 more trainings would take long (150 million values",
        ),
    ],
)
def test_auto(changes: dict[str, Any], used: str, why: str) -> None:
    chosen, reason = choose("auto", **SMALL | changes)
    assert chosen == used
    assert why in reason


@pytest.mark.parametrize("scheme", ["holdout", "crossval"])
def test_what_is_set_is_used(scheme: str) -> None:
    assert choose(scheme, **SMALL | {"images": 10**6, "units": {"a": 1}}) == (scheme, "as set")
