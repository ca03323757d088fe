from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from hallmark.contracts.names import probability_columns
from hallmark.judgement import assessment, calibration, slices
from hallmark.judgement.judged import Judged
from hallmark.judgement.objective import METRICS, Objective, score
from hallmark.judgement.publication import confusion_table, prediction_table, warnings_of
from hallmark.statistics import intervals, metrics
from hallmark.statistics.temperature import softmax

DRAW = {"replicates": 300, "seed": 7}


def drawn(n: int, strength: float = 2.0, seed: int = 0, k: int = 3) -> Judged:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, k, n)
    logits = generator.normal(size=(n, k)) + strength * np.eye(k)[labels]
    return Judged(labels, softmax(logits), np.arange(n), tuple("abcdefgh"[:k]))


def test_intervals_hold_the_value_and_repeat() -> None:
    judged = drawn(200)
    figures = assessment.overall(judged, **DRAW)
    assert figures == assessment.overall(judged, **DRAW)
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece"):
        low, high = figures[name]["ci95"]
        assert low < figures[name]["value"] < high, name
    assert figures["accuracy"]["value"] == pytest.approx(judged.right.mean())


def test_chunks_do_not_change_the_replicates(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = assessment.overall(drawn(50), **DRAW)
    monkeypatch.setattr(intervals, "CHUNK", 7 * 50)
    assert assessment.overall(drawn(50), **DRAW) == whole


def test_intervals_cover_the_truth() -> None:
    truth = assessment.accuracy(drawn(200_000, seed=99), replicates=2, seed=0)["value"]
    covered = 0
    for seed in range(200):
        low, high = assessment.accuracy(drawn(150, seed=seed), replicates=200, seed=seed)["ci95"]
        covered += low <= truth <= high
    assert 0.89 <= covered / 200 <= 0.99


def test_copies_are_no_new_evidence() -> None:
    judged = drawn(60)
    copies = Judged(
        np.repeat(judged.labels, 9),
        np.repeat(judged.probabilities, 9, axis=0),
        np.repeat(judged.clusters, 9),
        ("a", "b", "c"),
    )

    def width(each: Judged) -> float:
        low, high = assessment.accuracy(each, **DRAW)["ci95"]
        return float(high - low)

    assert width(copies) == pytest.approx(width(judged), rel=0.15)
    apart = Judged(copies.labels, copies.probabilities, np.arange(540), copies.classes)
    assert width(apart) < width(judged) / 2


def test_no_mistake_is_not_certainty() -> None:
    labels = np.repeat([0, 1], 5)
    judged = Judged(labels, np.eye(2)[labels] * 0.98 + 0.01, np.arange(10), ("a", "b"))
    figures = assessment.overall(judged, **DRAW)
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        assert figures[name]["value"] == 1.0
        assert figures[name]["ci95"] == [pytest.approx(0.7225, abs=1e-3), 1.0]
    row = assessment.per_class(judged, **DRAW)["a"]
    assert row["recall"]["ci95"][0] == pytest.approx(intervals.wilson(1.0, 5)[0])


def test_undefined_is_said_not_guessed() -> None:
    probabilities = np.tile([0.6, 0.3, 0.1], (8, 1))
    judged = Judged(np.array([0, 0, 0, 0, 0, 1, 1, 1]), probabilities, np.arange(8), ("a", "b", "c"))
    rows = assessment.per_class(judged, **DRAW)
    assert rows["c"] == {
        "support": 0,
        "precision": intervals.undefined(),
        "recall": intervals.undefined(),
        "f1": intervals.undefined(),
    }
    assert rows["b"]["recall"]["value"] == 0.0
    assert rows["b"]["precision"]["value"] is None
    figures = assessment.overall(judged, **DRAW)
    objective = assessment.objective_estimate(Objective(metric="recall", class_name="c"), judged, **DRAW)
    assert objective == intervals.undefined()
    warnings = warnings_of(judged, judged.classes, rows, {}, figures, objective)
    assert any("calls every image 'a'" in line for line in warnings)
    assert any("No test image of 'c'" in line for line in warnings)
    assert any("does not define the objective" in line for line in warnings)
    nothing = judged.rows(np.zeros(8, dtype=bool))
    assert assessment.overall(nothing, **DRAW)["accuracy"] == intervals.undefined()
    assert assessment.accuracy(nothing, **DRAW) == intervals.undefined()


@pytest.mark.parametrize("metric", METRICS)
def test_every_objective_has_an_interval(metric: str) -> None:
    judged = drawn(120)
    objective = Objective(metric=metric, class_name="b", costs={"a": {"b": 3.0}})
    estimate = assessment.objective_estimate(objective, judged, **DRAW)
    assert estimate["value"] == pytest.approx(score(objective, judged.labels, judged.probabilities, judged.classes))
    low, high = estimate["ci95"]
    assert low < estimate["value"] < high


def test_a_label_the_model_does_not_know_counts_as_a_mistake() -> None:
    images = pd.DataFrame({"path": ["x", "y"], "label": ["a", "new"], "cluster": ["x", "y"]})
    judged = Judged.of(images, np.array([[0.9, 0.1], [0.8, 0.2]]), ["a", "b"])
    assert judged.classes == ("a", "b", "new")
    assert judged.right.tolist() == [True, False]
    figures = assessment.overall(judged, **DRAW)
    assert math.isfinite(figures["log_loss"]["value"])
    warnings = warnings_of(judged, ["a", "b"], assessment.per_class(judged, **DRAW), {}, figures, figures["accuracy"])
    assert any("'new', a class the model was not trained on" in line for line in warnings)


def test_classes_called_as_a_fixed_column() -> None:
    assert probability_columns(["path", "probability_path", "x"]) == [
        "probability_probability_path",
        "probability_path",
        "x",
    ]
    images = pd.DataFrame({"path": ["p", "q"], "label": ["path", "label"], "cluster": ["p", "q"]})
    judged = Judged.of(images, np.array([[0.9, 0.1], [0.8, 0.2]]), ["path", "label"])
    table = prediction_table(images, judged)
    assert list(table.columns) == ["path", "label", "predicted", "probability_path", "probability_label"]
    assert table["path"].tolist() == ["p", "q"]
    assert confusion_table(images, judged)["predicted"].tolist() == ["path", "path"]


def test_slices_cover_the_images_with_known_values() -> None:
    n = 90
    frame = pd.DataFrame(
        {
            "fate": ["flagged", "kept", "kept"] * 30,
            "brightness": np.linspace(0, 1, n),
            "width": 8,
            "height": 8,
            "group": [""] * n,
            "meta_camera": ["one", "two", None] * 30,
            "meta_year": np.arange(n) % 2,
            "meta_depth": np.linspace(0, 5, n),
            "meta_serial": [f"s{i}" for i in range(n)],
        }
    )
    parts = slices.divide(frame, most=5)
    assert sorted(parts) == ["brightness", "camera", "depth", "flagged", "year"]
    judged = drawn(n)
    slices_judged = slices.judge(judged, parts, **DRAW)
    assert {part: row["n"] for part, row in slices_judged["brightness"].items()} == dict.fromkeys(slices.THIRDS, 30)
    assert {part: row["n"] for part, row in slices_judged["camera"].items()} == {"one": 30, "two": 30}
    keep = np.arange(n) % 3 == 0
    assert slices_judged["flagged"]["flagged"]["accuracy"]["value"] == pytest.approx(judged.right[keep].mean())


def test_a_bad_slice_is_called_out() -> None:
    judged = drawn(200, strength=8.0)
    wrong = judged.probabilities.copy()
    wrong[:30] = wrong[:30, ::-1]
    wrong[:30, 1] = 0.9
    judged = Judged(np.where(np.arange(200) < 30, 0, judged.labels), wrong, judged.clusters, judged.classes)
    part = pd.Series(["old camera"] * 30 + ["new camera"] * 170, dtype="string")
    figures = assessment.overall(judged, **DRAW)
    slices_judged = slices.judge(judged, {"camera": part}, **DRAW)
    warnings = warnings_of(judged, judged.classes, {}, slices_judged, figures, figures["accuracy"])
    assert [line for line in warnings if "camera is 'old camera'" in line]
    assert not [line for line in warnings if "'new camera'" in line]


def test_temperature_finds_the_scale_of_overconfident_logits() -> None:
    generator = np.random.default_rng(3)
    logits = generator.normal(size=(4000, 3)) * 2
    labels = np.array([generator.choice(3, p=row) for row in softmax(logits)])
    assert calibration.temperature(logits * 3, labels) == pytest.approx(3.0, rel=0.1)
    assert calibration.temperature(logits, logits.argmax(axis=1)) is None
    assert calibration.temperature(logits[:0], labels[:0]) is None


def test_reliability_table_adds_up() -> None:
    judged = drawn(300)
    table = calibration.reliability(judged.confidence, judged.right)
    assert table["n"].sum() == 300
    gap = float((table["n"] * (table["confidence"] - table["accuracy"]).abs()).sum() / 300)
    bins = metrics.bins_of(judged.confidence)
    assert gap == pytest.approx(float(metrics.ece(judged.confidence, judged.right, bins)[0]))
    assert ((table["low"] <= table["accuracy"]) & (table["accuracy"] <= table["high"])).all()


def test_the_reliability_table_by_hand() -> None:
    confidence = np.array([0.9, 0.5, 0.6, 0.8, 0.95, 0.7])
    right = np.array([True, False, True, False, True, True])
    table = calibration.reliability(confidence, right, bins=3)
    columns = ["bin", "n", "lowest", "highest", "confidence", "accuracy", "low", "high"]
    assert table.columns.tolist() == columns
    expected = [
        [1, 2, 0.5, 0.6, 0.55, 0.5, *intervals.wilson(0.5, 2)],
        [2, 2, 0.7, 0.8, 0.75, 0.5, *intervals.wilson(0.5, 2)],
        [3, 2, 0.9, 0.95, 0.925, 1.0, *intervals.wilson(1.0, 2)],
    ]
    np.testing.assert_allclose(table.to_numpy(dtype=np.float64), expected)
    assert len(calibration.reliability(np.linspace(0.1, 1, 40), np.ones(40, dtype=bool))) == metrics.BINS


def test_the_interval_of_a_recall_counts_the_clusters_of_its_class() -> None:
    labels = np.repeat([0, 1, 2], [40, 12, 8])
    # three images a cluster of class b: four pieces of evidence
    clusters = np.concatenate([np.arange(40), 100 + np.arange(12) // 3, 200 + np.arange(8)])
    judged = Judged(labels, np.eye(3)[labels], clusters, ("a", "b", "c"))
    estimate = assessment.objective_estimate(Objective(metric="recall", class_name="b"), judged, **DRAW)
    assert estimate == {"value": 1.0, "ci95": pytest.approx(list(intervals.wilson(1.0, 4)))}
    plain = assessment.objective_estimate(Objective(metric="accuracy"), judged, **DRAW)
    assert plain["ci95"] == pytest.approx(list(intervals.wilson(1.0, 52)))
    balanced = assessment.objective_estimate(Objective(metric="balanced_accuracy"), judged, **DRAW)
    assert balanced["ci95"] == pytest.approx(list(intervals.wilson(1.0, 9 / (1 / 40 + 1 / 4 + 1 / 8))))


@pytest.mark.parametrize("metric", METRICS)
def test_replicates_are_the_objective_of_the_images_drawn(metric: str) -> None:
    judged = drawn(60)
    objective = Objective(metric=metric, class_name="b", costs={"a": {"b": 3.0}})
    replicates = assessment.objective_replicates(objective, judged, replicates=5, seed=2)
    weights = intervals.bootstrap(
        lambda weights: {"weights": weights}, judged.labels, judged.clusters, replicates=5, seed=2
    )["weights"]
    for value, counts in zip(replicates, weights, strict=True):
        again = judged.rows(np.repeat(np.arange(60), counts.astype(int)))
        assert value == pytest.approx(score(objective, again.labels, again.probabilities, again.classes))


def test_without_an_image_every_figure_is_undefined() -> None:
    nothing = drawn(5).rows(np.zeros(5, dtype=bool))
    names = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece")
    assert assessment.overall(nothing, **DRAW) == dict.fromkeys(names, intervals.undefined())
    assert assessment.per_class(nothing, **DRAW)["b"] == {
        "support": 0,
        **dict.fromkeys(("precision", "recall", "f1"), intervals.undefined()),
    }


def test_a_change_of_accuracy_is_that_of_the_same_images() -> None:
    before = drawn(80, strength=1.0)
    better = before.probabilities.copy()
    better[:20] = np.eye(3)[before.labels[:20]]
    after = before.answered(better)
    change = assessment.accuracy_change(before, after, **DRAW)
    gained = after.right.astype(float) - before.right
    weights = intervals.bootstrap(lambda weights: {"w": weights}, before.labels, before.clusters, **DRAW)["w"]
    assert change["value"] == pytest.approx(gained.mean())
    assert change["value"] > 0
    assert change["ci95"] == pytest.approx(np.quantile(weights @ gained / 80, [0.025, 0.975]).tolist())
    back = assessment.accuracy_change(after, before, **DRAW)
    assert back["value"] == pytest.approx(-change["value"])
    assert assessment.accuracy_change(before, before, **DRAW) == {"value": 0.0, "ci95": [0.0, 0.0]}


def test_the_most_frequent_mistakes_come_first_and_of_equal_ones_the_first_class() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 2])
    predicted = np.array([1, 0, 0, 2, 2, 1, 0, 2, 2, 2])
    judged = Judged(labels, np.eye(3)[predicted], np.arange(10), ("a", "b", "c"))
    expected = [
        {"actual": "b", "predicted": "c", "n": 2},
        {"actual": "a", "predicted": "b", "n": 1},
        {"actual": "c", "predicted": "a", "n": 1},
    ]
    assert assessment.top_confusions(judged) == expected
    assert assessment.top_confusions(judged, 2) == expected[:2]
    assert assessment.top_confusions(judged.rows(labels == predicted)) == []
    # no image of the last class, which has a row in the table all the same
    assert assessment.top_confusions(judged.rows(np.array([0]))) == expected[1:2]


def test_of_many_kinds_of_mistakes_ten_are_named() -> None:
    labels, predicted = (each.ravel() for each in np.indices((4, 4)))
    judged = Judged(labels, np.eye(4)[predicted], np.arange(16), ("a", "b", "c", "d"))
    cells = [(each["actual"], each["predicted"]) for each in assessment.top_confusions(judged)]
    assert cells == [(a, b) for a in "abcd" for b in "abcd" if a != b][:10]
