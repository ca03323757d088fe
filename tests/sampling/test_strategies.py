"""Counts, weights and factors of each strategy, as the papers give them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hallmark.sampling import strategies

COUNTS = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 200), min_size=1)


@pytest.mark.parametrize(
    ("largest", "strategy", "words"),
    [
        (19, "none", "the largest class has 1.9 times the images of the smallest, below balance.auto_mild (2)"),
        (20, "class_weights", "2 times the images of the smallest, between balance.auto_mild (2) and"),
        (199, "class_weights", "19.9 times the images of the smallest, between"),
        (200, "logit_adjustment", "20 times the images of the smallest, at least balance.auto_severe (20)"),
    ],
)
def test_auto_decides_by_the_ratio_and_a_bound_belongs_to_the_stronger_remedy(
    largest: int, strategy: str, words: str
) -> None:
    chosen, reason = strategies.decide({"a": 10, "b": largest, "c": 15}, mild=2.0, severe=20.0)
    assert chosen == strategy
    assert words in reason


@given(counts=COUNTS, scheme=st.sampled_from(["inverse", "effective_number"]), beta=st.floats(0.0, 1.0))
def test_class_weights_average_1_and_never_favour_the_larger_class(
    counts: dict[str, int], scheme: str, beta: float
) -> None:
    weights = strategies.class_weights(counts, scheme=scheme, beta=beta)
    assert sum(weights[label] * count for label, count in counts.items()) == pytest.approx(sum(counts.values()))
    by_count = sorted(counts, key=lambda label: counts[label])
    for smaller, larger in itertools.pairwise(by_count):
        assert weights[smaller] >= weights[larger] * (1 - 1e-9)


@settings(max_examples=50)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    factor=st.floats(0.0, 4.0),
    seed=st.integers(0, 3),
    data=st.data(),
)
def test_repeats_meet_the_target_and_differ_by_one_at_most(
    sizes: list[int], factor: float, seed: int, data: st.DataObject
) -> None:
    labels = [f"c{number}" for number, size in enumerate(sizes) for _ in range(size)]
    paths = [f"{number}.png" for number in range(len(labels))]
    targets = {f"c{number}": round(factor * size) for number, size in enumerate(sizes)}
    repeats = strategies.repeats_to(labels, paths, targets, seed=seed)
    assert repeats.dtype == np.int32
    for label, target in targets.items():
        of_class = repeats[np.array(labels) == label]
        assert of_class.sum() == target
        assert of_class.max() - of_class.min() <= 1
    once = np.array(data.draw(st.lists(st.booleans(), min_size=len(labels), max_size=len(labels))))
    fewer = strategies.repeats_to(labels, paths, targets, seed=seed, once=once)
    assert fewer.dtype == np.int32
    np.testing.assert_array_equal(fewer, np.where(once, np.minimum(repeats, 1), repeats))


def test_which_images_are_repeated_is_random_not_the_order_of_names() -> None:
    paths = [f"{number:03d}.png" for number in range(100)]
    chosen = np.flatnonzero(strategies.repeats_to(["a"] * 100, paths, {"a": 50}, seed=0))
    assert 15 <= (chosen < 50).sum() <= 35


def test_targets_of_over_and_under_sampling() -> None:
    counts = {"a": 100, "b": 30, "c": 4}
    assert strategies.oversampled(counts, max_repeats=5) == {"a": 100, "b": 100, "c": 20}
    assert strategies.undersampled(counts, min_images=3) == {"a": 4, "b": 4, "c": 4}
    assert strategies.undersampled(counts, min_images=50) == {"a": 50, "b": 30, "c": 4}


def test_repeat_factors_of_an_even_share() -> None:
    factors = strategies.repeat_factors({"a": 75, "b": 25}, threshold=None, max_repeats=9)
    assert factors == {"a": 1.0, "b": pytest.approx(2**0.5)}
    assert strategies.repeat_factors({"a": 400, "b": 1}, threshold=None, max_repeats=9)["b"] == 9.0


def test_probabilities_of_the_power() -> None:
    labels = ["a"] * 4 + ["b"]
    counts = {"a": 4, "b": 1}
    even = strategies.probabilities(labels, counts, power=1.0)
    assert even == pytest.approx([1 / 8] * 4 + [1 / 2])
    assert strategies.probabilities(labels, counts, power=0.5) == pytest.approx([1 / 6] * 4 + [1 / 3])
    assert strategies.probabilities(labels, counts, power=0.0) == pytest.approx([1 / 5] * 5)
    doubt = np.array([False] * 4 + [True])
    assert strategies.probabilities(labels, counts, power=1.0, doubt=doubt) == pytest.approx([1 / 5] * 5)
