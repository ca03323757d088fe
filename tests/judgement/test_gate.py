from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from hallmark.contracts.errors import InputError
from hallmark.judgement.gate import CHALLENGER, PROMOTED, Comparison, Gate, assess, compare, decide
from hallmark.judgement.judged import Judged
from hallmark.judgement.objective import METRICS, Objective

CLASSES = ("a", "b", "c")
LENIENT = Gate(beat_constant=True, objective=None, worst_recall=0.0)


def judged(wrong: list[int], *, n: int = 300, paths: str = "x", classes: tuple[str, ...] = CLASSES) -> Judged:
    labels = np.arange(n) % len(classes)
    answers = labels.copy()
    answers[wrong] = (answers[wrong] + 1) % len(classes)
    probabilities = np.full((n, len(classes)), 0.1)
    probabilities[np.arange(n), answers] = 0.8
    names = np.array([f"{paths}{i}" for i in range(n)], dtype=object)
    return Judged(labels, probabilities, np.arange(n), classes, names)


def copied(one: Judged, times: int, *, clustered: bool) -> Judged:
    """Each image repeated that often, under distinct paths."""
    rows = np.repeat(np.arange(len(one.labels)), times)
    names = np.array([f"{number}" for number in range(len(rows))], dtype=object)
    return replace(one.rows(rows), clusters=rows if clustered else np.arange(len(rows)), paths=names)


def objective(metric: str) -> Objective:
    return Objective(metric=metric, class_name="b" if metric == "recall" else "", costs={"a": {"b": 5.0}})


@pytest.mark.parametrize("metric", METRICS)
def test_each_objective_passes_a_good_model_and_refuses_a_guess(metric: str) -> None:
    value, reasons = assess(LENIENT, objective(metric), judged(list(range(30))), confidence=0.9, replicates=100, seed=0)
    assert reasons == []
    assert np.isfinite(value)
    if metric != "recall":  # one answer for everything has a perfect recall
        constant = judged([])
        constant.probabilities[:] = [0.4, 0.3, 0.3]
        _, reasons = assess(LENIENT, objective(metric), constant, confidence=0.9, replicates=100, seed=0)
        assert len(reasons) == 1
        assert "the score of the best constant prediction" in reasons[0]


def test_the_bound_counts_not_the_value() -> None:
    few = judged([0, 1, 3, 4], n=9)  # five of nine right: above a third, but not for sure
    assert assess(LENIENT, objective("accuracy"), few, confidence=0.5, replicates=500, seed=0)[1] == []
    assert assess(LENIENT, objective("accuracy"), few, confidence=0.999, replicates=500, seed=0)[1] != []


def test_pairs_see_what_separate_samples_cannot() -> None:
    champion, new = judged(list(range(0, 100))), judged(list(range(0, 92)))
    paired = compare(objective("accuracy"), new, champion, replicates=300, seed=0)
    assert paired is not None
    assert (paired.paired, paired.images) == (True, 300)
    assert paired.gain == pytest.approx(8 / 300)
    assert paired.share > 0.99
    alone = compare(objective("accuracy"), judged(list(range(92)), paths="y"), champion, replicates=300, seed=0)
    assert alone is not None
    assert not alone.paired
    assert alone.gain == pytest.approx(8 / 300)
    assert alone.share < 0.95


def test_only_shared_images_are_compared_in_pairs() -> None:
    champion = judged([], n=300)
    new = judged(list(range(300, 420)), n=420)  # wrong only on images the champion never saw
    result = compare(objective("accuracy"), new, champion, replicates=100, seed=0)
    assert result == Comparison(gain=0.0, share=0.0, images=300, paired=True)


def test_the_order_of_classes_does_not_matter() -> None:
    champion = judged(list(range(60)))
    other = champion.reordered([CLASSES[i] for i in (2, 0, 1)]).rows(np.arange(300)[::-1])
    assert other.classes == ("c", "a", "b")
    assert [other.classes[label] for label in other.labels[::-1]] == [CLASSES[label] for label in champion.labels]
    result = compare(objective("macro_f1"), champion, other, replicates=100, seed=0)
    assert result is not None
    assert (result.gain, result.share) == (0.0, 0.0)
    assert compare(objective("macro_f1"), champion, judged([], classes=("a", "b")), replicates=100, seed=0) is None


def test_the_rule() -> None:
    better = Comparison(gain=0.02, share=0.95, images=300, paired=True)
    assert decide(better, version=3, min_gain=0.0, confidence=0.9)[0] == PROMOTED
    decision, reason = decide(better, version=3, min_gain=0.02, confidence=0.9)
    assert decision == CHALLENGER
    assert reason == (
        "against champion version 3, in pairs on 300 images: gain +0.02, above 0 in 95.0% of resamples; "
        "needed: gain above 0.02 and 90.0% of resamples"
    )
    assert decide(better, version=3, min_gain=0.0, confidence=0.96)[0] == CHALLENGER


@pytest.mark.parametrize("paired", [True, False])
def test_copies_are_one_piece_of_evidence(paired: bool) -> None:
    few = judged([0, 1, 2, 3], n=40), judged([1, 2, 3, 4, 5], n=40)  # a gain of one image in forty
    many = [copied(each, 10, clustered=True) for each in few]
    apart = [copied(each, 10, clustered=False) for each in few]

    def compared(new: Judged, champion: Judged) -> Comparison | None:
        paths = champion.paths if paired else None
        others = np.array([f"other {number}" for number in range(len(champion.labels))], dtype=object)
        champion = replace(champion, paths=others if paths is None else paths)
        return compare(objective("accuracy"), new, champion, replicates=400, seed=0)

    single, together, wrongly = (compared(*each) for each in (few, many, apart))
    assert single is not None
    assert together is not None
    assert wrongly is not None
    assert (together.paired, together.images) == (paired, 400)
    assert together.gain == pytest.approx(1 / 40)
    assert together.share == single.share < 0.8
    assert wrongly.share > single.share + 0.1
    assert decide(together, version=1, min_gain=0.0, confidence=0.9)[0] == CHALLENGER


def test_copies_do_not_make_a_guess_sure() -> None:
    few = judged(list(range(22)), n=40)  # eighteen of forty right: above a third, but not for sure

    def reasons(one: Judged) -> list[str]:
        return assess(LENIENT, objective("accuracy"), one, confidence=0.95, replicates=400, seed=0)[1]

    assert reasons(few) != []
    assert reasons(copied(few, 10, clustered=False)) == []
    assert reasons(copied(few, 10, clustered=True)) == reasons(few)


def test_labels_the_model_does_not_know_come_last() -> None:
    table = pd.DataFrame({"path": ["1", "2", "3"], "label": ["b", "new", "b"], "predicted": ["b", "a", "b"]})
    table[["a", "b", "new"]] = [[0.1, 0.9, 0.0], [0.6, 0.4, 0.0], [0.2, 0.8, 0.0]]
    result = Judged.read(table, pd.DataFrame({"path": ["3", "2", "1"], "cluster": ["1", "2", "1"]}), ["a", "b"])
    assert result.classes == ("a", "b", "new")
    assert result.labels.tolist() == [1, 2, 1]
    assert result.clusters.tolist() == [0, 1, 0]
    assert result.probabilities[:, 1].tolist() == [0.9, 0.4, 0.8]
    assert Judged.read(table, None, ["a", "b"]).clusters.tolist() == [0, 1, 2]


def test_values_are_checked() -> None:
    with pytest.raises(InputError, match=r"^worst_recall is 1\.5"):
        Gate(beat_constant=True, objective=None, worst_recall=1.5)
    with pytest.raises(InputError, match=r"^objective is nan"):
        Gate(beat_constant=True, objective=float("nan"), worst_recall=0.5)


def test_one_cluster_per_class_is_no_evidence_of_a_gain() -> None:
    new, champion = (replace(each, clusters=each.labels) for each in (judged([]), judged([0, 1, 2, 3])))
    comparison = compare(objective("accuracy"), new, champion, replicates=200, seed=0)
    assert comparison is not None
    assert comparison.gain > 0
    assert comparison.share == 0
    assert decide(comparison, version=1, min_gain=0.0, confidence=0.9)[0] == CHALLENGER
