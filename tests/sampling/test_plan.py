"""Plans: properties that hold for any class counts, and the figures of the papers."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hallmark.sampling import strategies
from hallmark.sampling.names import STRATEGIES
from hallmark.sampling.plan import Plan, make, read

if TYPE_CHECKING:
    from pathlib import Path

ARGUMENTS: dict[str, Any] = {
    "strategy": "none",
    "scheme": "effective_number",
    "beta": 0.999,
    "max_repeats": 10,
    "min_images": 5,
    "repeat_threshold": None,
    "sampler_power": 1.0,
    "adjustment_tau": 1.0,
    "focal_gamma": 2.0,
    "auto_mild": 2.0,
    "auto_severe": 20.0,
    "seed": 0,
}
CLASS_COUNTS = st.lists(st.integers(1, 60), min_size=2, max_size=6)


def images(counts: list[int]) -> pd.DataFrame:
    rows = [(f"c{label}/{i:04d}.png", f"c{label}") for label, count in enumerate(counts) for i in range(count)]
    frame = pd.DataFrame(rows, columns=["path", "label"])
    frame["weight"] = 1.0
    return frame


def plan(counts: list[int], **changes: Any) -> Plan:
    return make(images(counts), **{**ARGUMENTS, **changes})


@settings(max_examples=25)
@given(counts=CLASS_COUNTS, strategy=st.sampled_from(STRATEGIES), seed=st.integers(0, 3))
def test_every_plan_covers_the_images_and_is_consistent(counts: list[int], strategy: str, seed: int) -> None:
    result = plan(counts, strategy=strategy, seed=seed)
    table = result.table
    assert sorted(table["path"]) == sorted(images(counts)["path"])
    assert table["probability"].sum() == pytest.approx(1.0)
    assert (table["weight"] > 0).all()
    assert (table["repeats"] >= 0).all()
    assert (table["repeats"] <= ARGUMENTS["max_repeats"]).all()
    assert (table.groupby("label")["repeats"].sum() > 0).all()
    assert sum(result.class_priors.values()) == pytest.approx(1.0)
    assert table["weight"].mean() == pytest.approx(1.0)
    assert result.strategy != "auto"
    assert result.reason


@settings(max_examples=20)
@given(counts=CLASS_COUNTS, seed=st.integers(0, 3))
def test_oversample_and_undersample_meet_their_targets(counts: list[int], seed: int) -> None:
    over = plan(counts, strategy="oversample", max_repeats=100, seed=seed).table
    assert set(over.groupby("label")["repeats"].sum()) == {max(counts)}
    spread = over.groupby("label")["repeats"].agg(lambda repeats: repeats.max() - repeats.min())
    assert (spread <= 1).all()

    under = plan(counts, strategy="undersample", min_images=1, seed=seed).table
    assert set(under.groupby("label")["repeats"].sum()) == {min(counts)}
    assert set(under["repeats"]) <= {0, 1}


@settings(max_examples=20)
@given(counts=CLASS_COUNTS, power=st.floats(0.0, 1.0))
def test_weighted_sampler_lies_between_the_shares_and_even_ones(counts: list[int], power: float) -> None:
    result = plan(counts, strategy="weighted_sampler", sampler_power=power)
    assert result.sampler == "weighted"
    expected = np.array(counts, dtype=float) ** (1 - power)
    assert list(result.class_priors.values()) == pytest.approx(list(expected / expected.sum()))


@settings(max_examples=20)
@given(counts=CLASS_COUNTS, added=st.integers(1, 5))
def test_repeats_do_not_depend_on_the_order_of_the_rows(counts: list[int], added: int) -> None:
    frame = images(counts)
    shuffled = frame.sample(frac=1.0, random_state=added)
    arguments = {**ARGUMENTS, "strategy": "oversample"}
    pd.testing.assert_frame_equal(make(frame, **arguments).table, make(shuffled, **arguments).table)


def test_weights_of_clean_are_kept() -> None:
    frame = images([30, 10])
    frame.loc[frame["path"] == "c1/0000.png", "weight"] = 0.25
    table = make(frame, **{**ARGUMENTS, "strategy": "class_weights", "scheme": "inverse"}).table
    weights = dict(zip(table["path"], table["weight"], strict=True))
    assert weights["c1/0000.png"] == pytest.approx(0.25 * weights["c1/0001.png"])
    assert make(frame, **ARGUMENTS).table["weight"].min() == 0.25


def test_class_weights_of_the_papers() -> None:
    inverse = strategies.class_weights({"a": 90, "b": 10}, scheme="inverse", beta=0.5)
    assert inverse["b"] / inverse["a"] == pytest.approx(9.0)
    # Cui et al. 2019: (1 - beta) / (1 - beta ** n)
    effective = strategies.class_weights({"a": 90, "b": 10}, scheme="effective_number", beta=0.99)
    assert effective["b"] / effective["a"] == pytest.approx((1 - 0.99**90) / (1 - 0.99**10))
    none = strategies.class_weights({"a": 90, "b": 10}, scheme="effective_number", beta=0.0)
    assert none == {"a": 1.0, "b": 1.0}
    one = strategies.class_weights({"a": 90, "b": 10}, scheme="effective_number", beta=1.0)
    assert one == inverse


def test_repeat_factor_of_the_paper() -> None:
    factors = strategies.repeat_factors({"a": 900, "b": 99, "c": 1}, threshold=0.1, max_repeats=8)
    assert factors["a"] == 1.0
    assert factors["b"] == pytest.approx(math.sqrt(0.1 / 0.099))
    assert factors["c"] == 8.0  # sqrt(0.1 / 0.001) = 10, capped
    table = plan([90, 10], strategy="repeat_factor").table
    assert table.groupby("label")["repeats"].sum().to_dict() == {"c0": 90, "c1": round(10 * math.sqrt(5))}


@pytest.mark.parametrize(
    ("counts", "strategy", "loss"),
    [
        ([30, 20], "none", "cross_entropy"),
        ([50, 10], "class_weights", "cross_entropy"),
        ([60, 3], "logit_adjustment", "logit_adjusted"),
    ],
)
def test_auto_follows_the_imbalance_and_states_it(counts: list[int], strategy: str, loss: str) -> None:
    result = plan(counts, strategy="auto")
    assert (result.strategy, result.loss) == (strategy, loss)
    assert f"{max(counts) / min(counts):.3g} times" in result.reason


def test_an_added_image_leaves_the_other_choices_unchanged() -> None:
    before = plan([60, 30], strategy="undersample").table
    after = plan([61, 30], strategy="undersample").table.set_index("path")["repeats"]
    changed = (before.set_index("path")["repeats"] != after.reindex(before["path"]).to_numpy()).sum()
    assert changed <= 1


def test_seed_changes_which_images_are_left_out() -> None:
    chosen = [tuple(plan([60, 30], strategy="undersample", seed=seed).table["repeats"]) for seed in (0, 1)]
    assert chosen[0] != chosen[1]
    assert Counter(chosen[0]) == Counter(chosen[1])


def test_a_written_plan_reads_back_and_its_bytes_repeat(tmp_path: Path) -> None:
    result = plan([60, 3], strategy="auto")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        result.write(tmp_path / name)
    for file in ("plan.parquet", "plan.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    again = read(tmp_path / "a")
    assert again.settings() == result.settings()
    pd.testing.assert_frame_equal(again.table, result.table)
    keys = {"strategy", "sampler", "loss", "class_weights", "class_priors"}
    assert keys <= set(json.loads((tmp_path / "a" / "plan.json").read_text()))


@pytest.mark.parametrize("strategy", ["oversample", "repeat_factor", "weighted_sampler", "class_weights"])
def test_a_doubted_label_counts_no_more_than_one_of_the_largest_class(strategy: str) -> None:
    frame = images([40, 4])
    doubted = {"c1/0001.png", "c1/0003.png"}
    arguments = {**ARGUMENTS, "strategy": strategy}
    raised = "weight" if strategy == "class_weights" else "probability"

    def figures(column: str, **more: Any) -> dict[str, float]:
        table = make(frame, **arguments, **more).table
        assert table["probability"].sum() == pytest.approx(1.0)
        return dict(zip(table["path"], table[column].astype(float), strict=True))

    for column in ("repeats", "weight", "probability"):
        by_path = figures(column, doubted=doubted)
        assert [by_path[path] for path in doubted] == pytest.approx([by_path["c0/0000.png"]] * 2), column
    by_path, plain = figures(raised, doubted=doubted), figures(raised)
    for path in ("c1/0000.png", "c1/0002.png"):
        assert by_path[path] > 1.1 * by_path["c0/0000.png"], "the others of the class lost theirs"
    assert min(plain[path] for path in doubted) > 1.1 * plain["c0/0000.png"]


@pytest.mark.parametrize(
    ("strategy", "sampler", "loss"),
    [
        ("none", "sequential", "cross_entropy"),
        ("class_weights", "sequential", "cross_entropy"),
        ("oversample", "sequential", "cross_entropy"),
        ("undersample", "sequential", "cross_entropy"),
        ("weighted_sampler", "weighted", "cross_entropy"),
        ("repeat_factor", "sequential", "cross_entropy"),
        ("logit_adjustment", "sequential", "logit_adjusted"),
        ("focal", "sequential", "focal"),
    ],
)
def test_each_strategy_changes_its_own_part_of_the_plan(strategy: str, sampler: str, loss: str) -> None:
    balanced = plan([30, 6], strategy=strategy, adjustment_tau=0.7, focal_gamma=1.5)
    assert (balanced.strategy, balanced.sampler, balanced.loss) == (strategy, sampler, loss)
    assert balanced.reason == "chosen by balance.strategy"
    assert (balanced.adjustment_tau, balanced.focal_gamma) == (0.7, 1.5)
    weighted = strategies.class_weights({"c0": 30, "c1": 6}, scheme="effective_number", beta=0.999)
    assert balanced.class_weights == (weighted if strategy == "class_weights" else {"c0": 1.0, "c1": 1.0})
    shown_equally = strategy in ("none", "class_weights", "weighted_sampler", "logit_adjustment", "focal")
    assert (set(balanced.table["repeats"]) == {1}) == shown_equally


def test_an_unknown_strategy_and_an_empty_set_are_rejected() -> None:
    with pytest.raises(AssertionError, match="unknown strategy 'smote'"):
        plan([3, 3], strategy="smote")
    with pytest.raises(AssertionError, match=r"^no training images to plan for"):
        make(images([]), **ARGUMENTS)


def test_the_settings_are_written_in_the_order_of_their_names(tmp_path: Path) -> None:
    plan([2, 2]).write(tmp_path)
    text = (tmp_path / "plan.json").read_text(encoding="utf-8")
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"


def test_the_images_repeated_are_the_same_in_every_release() -> None:
    # another choice would change every training of the same params
    repeats = strategies.repeats_to(["a"] * 8, [f"{number}.png" for number in range(8)], {"a": 12}, seed=0)
    assert repeats.tolist() == [1, 1, 1, 2, 2, 2, 2, 1]
