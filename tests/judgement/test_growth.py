"""The learning curve: which images each fit sees, and what its answers are averaged to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hallmark.judgement import growth, linear
from hallmark.judgement.judged import Judged
from hallmark.judgement.linear import Linear, scatter
from hallmark.judgement.objective import Objective, score
from hallmark.statistics import intervals, metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

ACCURACY = Objective(metric="accuracy")
DRAWS = growth.DRAWS


def answers(labels: Integers, classes: int = 2) -> Judged:
    """Labels with answers that a learning curve must not look at."""
    names = tuple(f"class {index}" for index in range(classes))
    return Judged(labels, np.full((len(labels), classes), 1 / classes), np.arange(len(labels)), names)


def clouds(sizes: list[int], *, gap: float = 1.5, seed: int = 0) -> tuple[Floats, Integers]:
    """Features [n, 4] of classes of these sizes, and their labels."""
    label = np.repeat(np.arange(len(sizes)), sizes)
    images = np.random.default_rng(seed).normal(size=(len(label), 4))
    images[np.arange(len(label)), label] += gap
    return images, label


def curve(sizes: list[int], val: list[int], objective: Objective = ACCURACY, **more: Any) -> dict[str, Any]:
    train, label = clouds(sizes)
    images, truth = clouds(val, seed=1)
    weakest = [f"class {index}" for index in range(len(sizes))]
    arguments: dict[str, Any] = {"weakest": weakest, "seed": 0} | more
    outcome = growth.curves(objective, train, label, images, answers(truth, len(sizes)), **arguments)
    assert outcome is not None
    return outcome


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The arguments and the result of every fit, in their order."""
    calls: list[dict[str, Any]] = []
    fit = Linear.fit

    def recorded(moments: Any, within: Any, **how: Any) -> Linear:
        calls.append({"moments": moments, "within": within.copy(), **how, "result": fit(moments, within, **how)})
        fitted: Linear = calls[-1]["result"]
        return fitted

    monkeypatch.setattr(Linear, "fit", staticmethod(recorded))
    return calls


def test_the_curve_says_what_it_was_measured_on() -> None:
    outcome = curve([30, 18], [20, 12])
    assert outcome["metric"] == "accuracy"
    assert (outcome["n_train"], outcome["n_val"], outcome["draws"]) == (48, 32, 5)
    assert outcome["fractions"] == [0.25, 0.5, 1.0]
    assert outcome["all"]["n"] == [8 + 5, 15 + 9, 48]
    assert list(outcome["classes"]) == ["class 0", "class 1"]
    assert outcome["classes"]["class 1"]["n"] == [5, 9, 18]


def test_smaller_parts_lie_in_larger_ones_and_draws_differ(fits: list[dict[str, Any]]) -> None:
    # the sum of one-hot images names the images
    train, label = np.eye(48), np.repeat([0, 1], [30, 18])
    growth.curves(
        ACCURACY, train, label, np.eye(48)[:20], answers(label[[*range(10), *range(30, 40)]]), weakest=[], seed=0
    )
    full, parts = fits[0], fits[1:]
    assert [each.n for each in full["moments"]] == [30, 18]
    assert len(parts) == 2 * DRAWS
    for quarter, half in zip(parts[:DRAWS], parts[DRAWS:], strict=True):
        for index, (few, many) in enumerate(zip(quarter["moments"], half["moments"], strict=True)):
            assert (few.n, many.n) == ([8, 5][index], [15, 9][index])
            assert (
                set(np.flatnonzero(few.total)) <= set(np.flatnonzero(many.total)) <= set(np.flatnonzero(label == index))
            )
    assert len({part["moments"][0].total.tobytes() for part in parts[:DRAWS]}) == DRAWS


@pytest.mark.parametrize("weakest", [[], ["class 1"]])
def test_a_fit_sees_the_scatter_of_its_own_images(weakest: list[str], fits: list[dict[str, Any]]) -> None:
    train, label = np.eye(48), np.repeat([0, 1], [30, 18])
    truth = np.repeat([0, 1], 10)
    growth.curves(ACCURACY, train, label, np.eye(48)[:20], answers(truth), weakest=weakest, seed=0)
    assert len(fits) == 1 + 2 * DRAWS * (1 + len(weakest))
    for call in fits:
        images = [train[np.flatnonzero(moments.total)] for moments in call["moments"]]
        np.testing.assert_allclose(call["within"], sum(scatter(each) for each in images), atol=1e-12)
    for call in fits[1 + 2 * DRAWS :]:
        assert call["moments"][0].n == 30, "the other class stays whole"
        assert call["moments"][1].n in (5, 9)


@pytest.mark.parametrize(("metric", "even"), [("accuracy", False), ("balanced_accuracy", True), ("macro_f1", False)])
def test_fits_on_fewer_images_shrink_more(metric: str, even: bool, fits: list[dict[str, Any]]) -> None:
    train, label = clouds([40, 20])
    curve([40, 20], [12, 12], Objective(metric=metric))
    shrink = linear.shrinkage(train, label, 2)
    assert fits[0]["shrink"] == pytest.approx(shrink)
    for call in fits:
        n = sum(moments.n for moments in call["moments"])
        assert call["shrink"] == pytest.approx(min(1.0, shrink * 60 / n))
        assert call["even"] is even


@pytest.mark.parametrize(("metric", "best"), [("accuracy", 1.0), ("macro_f1", 1.0), ("log_loss", 0.0)])
def test_the_objective_is_the_mean_over_draws(metric: str, best: float, fits: list[dict[str, Any]]) -> None:
    objective = Objective(metric=metric)
    outcome = curve([40, 24], [30, 30], objective, weakest=[])["all"]
    images, truth = clouds([30, 30], seed=1)
    scores = [score(objective, truth, call["result"].predict(images), ("class 0", "class 1")) for call in fits]
    means = np.array([np.mean(scores[1 : 1 + DRAWS]), np.mean(scores[1 + DRAWS :]), scores[0]])
    np.testing.assert_allclose(outcome["objective"], means, atol=1e-6)
    doubled = float(growth.doubling(best - means))
    assert outcome["doubling"]["value"] == pytest.approx(doubled, abs=1e-5)
    low, high = outcome["doubling"]["ci95"]
    assert low < doubled < high


def test_f1_and_recall_of_a_class_are_means_over_draws(fits: list[dict[str, Any]]) -> None:
    outcome = curve([40, 24], [30, 20], weakest=["class 1"])["classes"]["class 1"]
    images, truth = clouds([30, 20], seed=1)
    counts = [metrics.Counts.of(truth, call["result"].predict(images).argmax(axis=1), 2) for call in fits]
    quarter, half = counts[1 + 2 * DRAWS : 1 + 3 * DRAWS], counts[1 + 3 * DRAWS :]
    assert len(half) == DRAWS
    for name in ("f1", "recall"):
        groups = [[getattr(each, name)()[..., 1].item() for each in group] for group in (quarter, half, counts[:1])]
        np.testing.assert_allclose(outcome[name], [np.mean(group) for group in groups], atol=1e-6)
    errors = 1 - np.array(outcome["f1"])
    assert outcome["doubling"]["value"] == pytest.approx(float(growth.doubling(errors)), abs=1e-4)
    low, high = outcome["doubling"]["ci95"]
    assert low < outcome["doubling"]["value"] < high


def recorded_errors(monkeypatch: pytest.MonkeyPatch) -> list[Floats]:
    """The errors whose doubling is taken, in their order."""
    errors: list[Floats] = []
    doubling = growth.doubling

    def recorded(each: Floats) -> Floats:
        errors.append(each)
        return doubling(each)

    monkeypatch.setattr(growth, "doubling", recorded)
    return errors


def test_without_a_mistake_there_is_nothing_to_remove() -> None:
    train, label = clouds([40, 40], gap=40)
    val, truth = clouds([20, 20], gap=40, seed=1)
    outcome = growth.curves(ACCURACY, train, label, val, answers(truth), weakest=["class 0"], seed=0)
    assert outcome is not None
    for each in (outcome["all"], outcome["classes"]["class 0"]):
        assert each["doubling"] == {"value": 0.0, "ci95": [0.0, 0.0]}
    assert outcome["all"]["objective"] == outcome["classes"]["class 0"]["recall"] == [1.0] * 3


def test_an_error_below_half_an_image_counts_as_half_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = recorded_errors(monkeypatch)
    train, label = clouds([40, 40], gap=40)
    val, truth = clouds([20, 20], gap=40, seed=1)
    growth.curves(ACCURACY, train, label, val, answers(truth), weakest=[], seed=0)
    for each in errors:
        np.testing.assert_array_equal(each, np.full(each.shape, 0.5 / 40))
    assert [each.shape for each in errors] == [(3,), (growth.REPLICATES, 3)]


@pytest.mark.parametrize(
    ("train", "val", "enough"),
    [
        ([20, 20], [10, 10], True),
        ([20, 19], [10, 10], False),
        ([20, 20], [10, 9], False),
        ([40, 0], [10, 10], False),
        ([20, 20], [20, 0], False),
    ],
)
def test_a_curve_needs_images_of_two_classes(train: list[int], val: list[int], enough: bool) -> None:
    features, label = clouds(train)
    images, truth = clouds(val, seed=1)
    outcome = growth.curves(ACCURACY, features, label, images, answers(truth), weakest=[], seed=0)
    assert (outcome is not None) == enough


def test_another_seed_draws_other_images_and_so_does_another_class(fits: list[dict[str, Any]]) -> None:
    train, label = np.eye(64), np.repeat([0, 1], 32)
    draws = []
    for seed in (0, 1):
        fits.clear()
        judged = answers(np.repeat([0, 1], 10))
        growth.curves(ACCURACY, train, label, np.eye(64)[:20], judged, weakest=["class 0", "class 1"], seed=seed)
        parts = fits[1 + 2 * DRAWS :]
        for index, first in ((0, 0), (1, 2 * DRAWS)):
            totals = [call["moments"][index].total[label == index] for call in parts[first : first + 2 * DRAWS]]
            draws.append(np.array(totals).tobytes())
    assert len(set(draws)) == 4


def test_a_loss_of_nothing_is_nought_and_not_minus_nought() -> None:
    train, label = clouds([40, 40], gap=7)
    # a loss of 1e-8 or so, which is rounded
    val, truth = clouds([20, 20], gap=7, seed=1)
    outcome = growth.curves(Objective(metric="log_loss"), train, label, val, answers(truth), weakest=[], seed=0)
    assert outcome is not None
    assert str(outcome["all"]["objective"]) == "[0.0, 0.0, 0.0]"


def test_the_doubling_of_f1_is_resampled_with_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = recorded_errors(monkeypatch)
    curve([40, 24], [60, 60], weakest=["class 1"])
    mean, resampled = errors[-2:]
    # as many errors as there are resamples, about those of the images themselves
    np.testing.assert_allclose(resampled.mean(axis=0), mean, rtol=0.15)
    assert (resampled.std(axis=0) > 0.01).all()


def test_classes_of_fewer_than_eight_images_have_no_curve() -> None:
    outcome = curve([30, 8, 7], [10, 10, 10])
    assert list(outcome["classes"]) == ["class 0", "class 1"]
    assert outcome["classes"]["class 1"]["n"] == [2, 4, 8]


def test_classes_without_a_validation_image_have_no_curve() -> None:
    assert list(curve([30, 10, 10], [20, 0, 10])["classes"]) == ["class 0", "class 2"]


def test_the_weakest_classes_come_first_and_no_more_than_twelve(monkeypatch: pytest.MonkeyPatch) -> None:
    assert growth.MOST_CLASSES == 12
    monkeypatch.setattr(growth, "MOST_CLASSES", 2)
    outcome = curve([7, 20, 20, 20], [10] * 4, weakest=["class 0", "class 3", "class 1", "class 2"])
    assert list(outcome["classes"]) == ["class 3", "class 1"]


def test_answers_of_the_network_do_not_change_the_curve() -> None:
    train, label = clouds([30, 18])
    val, truth = clouds([20, 12], seed=1)
    judged = answers(truth)
    other = judged.answered(np.eye(2)[truth])
    one, two = (
        growth.curves(ACCURACY, train, label, val, each, weakest=["class 0"], seed=0) for each in (judged, other)
    )
    assert one == two


def test_copies_of_a_validation_image_are_one_piece_of_evidence() -> None:
    train, label = clouds([40, 40])
    val, truth = clouds([30, 30], seed=1)
    copies, labels = np.repeat(val, 8, axis=0), np.repeat(truth, 8)
    widths = []
    for clusters in (np.repeat(np.arange(60), 8), np.arange(480)):
        judged = Judged(labels, np.full((480, 2), 0.5), clusters, ("class 0", "class 1"))
        outcome = growth.curves(ACCURACY, train, label, copies, judged, weakest=["class 1"], seed=0)
        assert outcome is not None
        widths.append([np.ptp(each["doubling"]["ci95"]) for each in (outcome["all"], outcome["classes"]["class 1"])])
    assert widths[0][0] > widths[1][0]
    assert widths[0][1] > widths[1][1]


def test_doubling_is_the_slope_of_the_error_in_logarithms() -> None:
    for share in (0.3, 0.0, -0.5):
        errors = 0.4 * (1 - share) ** np.arange(3)
        assert growth.doubling(np.stack([errors, 2 * errors])) == pytest.approx([share] * 2)


def test_resamples_are_those_of_the_judged_images(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = []
    bootstrap = intervals.bootstrap

    def recorded(*arguments: Any, **draw: Any) -> Any:
        seeds.append(draw)
        return bootstrap(*arguments, **draw)

    monkeypatch.setattr(intervals, "bootstrap", recorded)
    curve([30, 18], [20, 12], weakest=[], seed=3)
    assert len(seeds) > 1
    assert all(draw == {"replicates": growth.REPLICATES, "seed": 3} for draw in seeds)
