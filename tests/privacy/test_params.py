"""The ``privacy`` section checks itself, and its ``auto`` values follow from the number of units."""

from __future__ import annotations

from typing import Any

import pytest

from hallmark.contracts import require
from hallmark.contracts.errors import InputError
from hallmark.privacy.params import Privacy, resolved

VALUES: dict[str, Any] = {
    "mechanism": "dp_sgd", "epsilon": 3.0, "delta": "auto", "unit": "image", "group_cap": 8, "route": "auto",
    "clip": 0.1, "batch_size": "auto", "steps": "auto", "bandwidth": "auto", "micro_batch_mib": 512,
    "accept_unaccounted": [], "fixed_seed": None,
}  # fmt: skip


def section(**changes: Any) -> Privacy:
    return Privacy(**{**VALUES, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mechanism": "dpsgd"}, "mechanism is 'dpsgd'; did you mean 'dp_sgd'"),
        ({"epsilon": 0.0}, r"epsilon is 0.0, outside \[0.01, 50\]"),
        ({"epsilon": float("inf")}, "epsilon is inf"),
        ({"delta": 0.5}, r"delta is 0.5, outside"),
        ({"delta": 1e-12}, r"delta is 1e-12, outside"),
        ({"unit": "patient"}, "unit is 'patient'"),
        ({"group_cap": 0}, "group_cap is 0, below 1"),
        ({"route": "cnn"}, "route is 'cnn'"),
        ({"clip": 0.0}, "clip is 0.0, but must be above 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"steps": 0}, "steps is 0"),
        ({"micro_batch_mib": 0}, "micro_batch_mib is 0"),
        ({"fixed_seed": -1}, "fixed_seed is -1"),
        ({"accept_unaccounted": ["tunning"]}, r"accept_unaccounted\[0\] is 'tunning'; did you mean 'tuning'"),
        ({"bandwidth": 4}, "bandwidth is 4, but the mechanism dp_sgd has none; set it to auto"),
    ],
)
def test_a_wrong_value_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        section(**changes)


def test_all_faults_are_reported_at_once() -> None:
    with require.gathered() as faults:
        section(mechanism="x", epsilon=0.0, clip=-1.0)
    assert [fault.field for fault in faults] == ["mechanism", "epsilon", "clip"]


def test_bandwidth_is_dp_ftrl_s() -> None:
    assert section(mechanism="dp_ftrl", bandwidth=4).bandwidth == 4
    assert section(mechanism="none", bandwidth=4).is_private is False
    assert section().is_private


def test_acceptance_is_by_name() -> None:
    private = section(accept_unaccounted=["tuning"])
    assert private.accepts("tuning")
    assert not private.accepts("early_stopping")
    with pytest.raises(AssertionError):
        private.accepts("anything")


@pytest.mark.parametrize(("units", "delta"), [(100, 1e-5), (10_000, 1e-5), (60_000, 1 / 600_000)])
def test_delta_is_small_against_the_number_of_units(units: int, delta: float) -> None:
    assert resolved(section(), units=units).delta == pytest.approx(delta)


def test_given_values_are_kept_and_auto_values_follow_the_units() -> None:
    given = resolved(section(batch_size=50, steps=7, delta=1e-6), units=1000)
    assert (given.batch_size, given.steps, given.delta) == (50, 7, 1e-6)
    auto = resolved(section(), units=3000)
    assert (auto.batch_size, auto.steps) == (200, 375)
    assert resolved(section(), units=5).batch_size == 1


def test_values_that_do_not_suit_the_number_of_units_are_refused() -> None:
    with pytest.raises(InputError, match="batch_size is 50, but there are 20 units"):
        resolved(section(batch_size=50), units=20)
    with pytest.raises(InputError, match=r"delta is 0\.01, but publishing one of the 500 units in full would satisfy"):
        resolved(section(delta=0.01), units=500)
