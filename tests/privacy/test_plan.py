"""The plan ties sampling, clipping, noise and accounting together; the statement says what the plan does."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hallmark.contracts.errors import InputError
from hallmark.privacy import accounting, plan, tree
from hallmark.privacy.charges import Charge
from hallmark.privacy.keys import Key
from hallmark.privacy.noise import Banded, Tree, White
from hallmark.privacy.params import DP_FTRL, DP_FTRL_TREE, DP_SGD, UNACCOUNTED
from hallmark.privacy.privacy_loss import Gaussian
from hallmark.privacy.statement import statement

if TYPE_CHECKING:
    from hallmark.privacy.plan import Plan

SETTINGS: dict[str, Any] = {
    "epsilon": 3.0, "delta": 1e-5, "unit": "image", "group_cap": 1, "units": 2000, "batch_size": 100, "steps": 200,
    "clip": 0.5,
}  # fmt: skip


def made(mechanism: str, **changes: Any) -> Plan:
    return plan.made(mechanism=mechanism, **{**SETTINGS, **changes})


PLANS = {mechanism: made(mechanism) for mechanism in (DP_SGD, DP_FTRL, DP_FTRL_TREE)}


@pytest.mark.parametrize("mechanism", PLANS)
def test_a_plan_spends_its_budget_by_both_accountants(mechanism: str) -> None:
    made = PLANS[mechanism]
    assert 0.999 * 3 < made.epsilon <= 3
    assert made.second_epsilon == pytest.approx(made.epsilon, rel=1e-3)
    assert accounting.epsilon(made.mechanisms(), delta=1e-5) == made.epsilon


def test_dp_sgd_is_poisson_sampling_at_batch_size_over_units() -> None:
    made = PLANS[DP_SGD]
    assert made.sampling == "poisson"
    assert (made.groups, made.rate, made.bandwidth) == (1, (1, 20), 1)
    assert made.mechanisms() == [Gaussian(noise_multiplier=made.noise_multiplier, sampling_rate=0.05, count=200)]


def test_dp_ftrl_samples_in_as_many_groups_as_its_noise_has_bands() -> None:
    made = PLANS[DP_FTRL]
    assert made.bandwidth > 1
    assert made.groups == made.bandwidth
    assert made.rate == (made.bandwidth * 100, 2000) or made.rate[0] / made.rate[1] == made.bandwidth / 20
    [training] = made.mechanisms()
    assert isinstance(training, Gaussian)
    assert training.sampling_rate == made.bandwidth / 20
    assert training.count == -(-200 // made.bandwidth)


def test_the_chosen_bandwidth_has_the_least_error_and_1_is_dp_sgd() -> None:
    from hallmark.privacy import banded

    def error(made: Plan) -> float:
        strategy = banded.Strategy(coefficients=made.coefficients, steps=made.steps)
        return made.noise_multiplier * banded.rms_error(strategy)

    chosen = PLANS[DP_FTRL]
    errors = {band: error(made(DP_FTRL, bandwidth=band)) for band in (1, 2, 4, 8, 16)}
    assert min(errors, key=lambda band: errors[band]) == chosen.bandwidth
    alone = made(DP_FTRL, bandwidth=1)
    assert alone.noise_multiplier == PLANS[DP_SGD].noise_multiplier
    assert error(chosen) < 0.95 * errors[1]


def test_a_tree_has_the_noise_of_its_sensitivity() -> None:
    made = PLANS[DP_FTRL_TREE]
    assert (made.sampling, made.rate, made.groups) == ("fixed order", (1, 1), 20)
    assert made.mechanisms() == [
        Gaussian(noise_multiplier=made.noise_multiplier / tree.sensitivity(steps=200, groups=20))
    ]


@pytest.mark.parametrize(("mechanism", "kind"), [(DP_SGD, White), (DP_FTRL, Banded), (DP_FTRL_TREE, Tree)])
def test_sampler_and_noise_are_those_of_the_plan(mechanism: str, kind: type) -> None:
    made, key = PLANS[mechanism], Key.fixed(0)
    sampler = made.sampler(key, [str(index) for index in range(2000)])
    assert (sampler.groups, float(sampler.rate)) == (made.groups, made.rate[0] / made.rate[1])
    assert np.mean([len(sampler.batch(step)) for step in range(60)]) == pytest.approx(100, rel=0.05)
    noise = made.noise(key, [3, 2])
    assert isinstance(noise, kind)
    assert [len(values) for values in noise.draw(0)] == [3, 2]
    assert made.deviation == made.noise_multiplier * 0.5
    with pytest.raises(AssertionError):
        made.sampler(key, ["too", "few"])


def test_charges_take_their_part_of_the_budget() -> None:
    charge = Charge(name="noisy class counts", mechanism=Gaussian(noise_multiplier=5.0))
    charged = made(DP_SGD, charges=(charge,))
    assert charged.noise_multiplier > PLANS[DP_SGD].noise_multiplier
    assert charged.mechanisms()[1] == charge.mechanism
    assert 0.999 * 3 < charged.epsilon <= 3
    with pytest.raises(InputError, match=r"epsilon is 0\.1, but the least possible is 0\.\d+, of which other queries"):
        made(DP_SGD, epsilon=0.1, charges=(charge,))


def test_each_value_changes_the_digest() -> None:
    first = PLANS[DP_SGD]
    assert made(DP_SGD).digest == first.digest
    for field in dataclasses.fields(first):
        value = getattr(first, field.name)
        other: Any = {int: 7, float: 0.123, str: "other", tuple: (9, 9)}[type(value)]
        changed: dict[str, Any] = {field.name: other}
        assert dataclasses.replace(first, **changed).digest != first.digest, field.name


def test_a_bandwidth_without_room_for_its_groups_is_refused() -> None:
    assert made(DP_FTRL, bandwidth=20, steps=40).rate == (1, 1)
    with pytest.raises(InputError, match="bandwidth is 21, but 200 steps of 100 of 2000 units allow 20 at most"):
        made(DP_FTRL, bandwidth=21)


REQUIRED = (
    "epsilon delta unit adjacency mechanism noise_multiplier clip_norm sampling_rate steps total_epsilon accountant "
    "not_covered"
)


def stated(mechanism: str = DP_SGD, **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {"total_epsilon": 5.5, "runs": 2, "secret_key": True, **changes}
    return statement(PLANS[mechanism], **values)


@pytest.mark.parametrize("mechanism", PLANS)
def test_the_statement_says_what_the_plan_does(mechanism: str) -> None:
    said, made = stated(mechanism, public_facts=["the classes"]), PLANS[mechanism]
    assert set(REQUIRED.split()) <= set(said)
    assert json.loads(json.dumps(said)) == said
    assert (said["epsilon"], said["delta"], said["mechanism"]) == (made.epsilon, 1e-5, mechanism)
    assert (said["noise_multiplier"], said["clip_norm"], said["steps"]) == (made.noise_multiplier, 0.5, 200)
    assert said["sampling_rate"] == 0.05
    assert said["second_accountant"]["epsilon"] == made.second_epsilon
    assert said["public"] == ["the number of units", "the classes"]
    assert (said["total_epsilon"], said["runs"]) == (5.5, 2)
    assert said["private"]
    assert said["stamp"] == ""
    assert said["plan_digest"] == made.digest


def test_tuning_is_not_covered_unless_it_was_charged() -> None:
    def covered(said: dict[str, Any]) -> bool:
        return not any(each.startswith("tuning") for each in said["not_covered"])

    assert not covered(stated())
    assert covered(stated(tuning_charged=True))


@pytest.mark.parametrize("changes", [{"secret_key": False}, {"accepted": ["early_stopping"]}])
def test_a_fixed_seed_or_an_accepted_exception_stamps_the_model(changes: dict[str, Any]) -> None:
    said = stated(**changes)
    assert not said["private"]
    assert said["stamp"] == "NOT PRIVATE"
    [reason] = said["stamp_reasons"]
    assert "fixed seed" in reason if "secret_key" in changes else UNACCOUNTED["early_stopping"] in reason
