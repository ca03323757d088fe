"""Who wins when the best trials are trained anew: the surely better, and nobody where luck alone was better."""

from __future__ import annotations

from hallmark.experiments import confirmation
from hallmark.experiments.study import Row


def row(number: int, quality: float | None) -> Row:
    return Row(
        number=number, state="complete", values={"train.lr": number}, quality=quality, latency_ms=None, facts={}, why=""
    )


def test_only_the_best_of_those_better_than_params_yaml_are_trained_anew() -> None:
    rows = [row(0, 0.8), row(1, 0.9), row(2, None), row(3, 0.85), row(4, 0.95)]
    assert [each.number for each in confirmation.candidates(rows, count=2, baseline=0.8)] == [4, 1]
    assert [each.number for each in confirmation.candidates(rows, count=5, baseline=0.8)] == [4, 1, 3]
    assert confirmation.candidates(rows, count=2, baseline=0.95) == []


def test_the_luckiest_of_the_search_does_not_win() -> None:
    baseline = [0.80, 0.81, 0.79]
    lucky, sure = row(4, 0.95), row(1, 0.9)
    confirmed = confirmation.judge([lucky, sure], [1, 2, 3], baseline, {4: [0.79, 0.83, 0.78], 1: [0.82, 0.831, 0.812]})
    assert [each.verdict for each in confirmed.candidates] == ["cannot tell", "keep"]
    winner = confirmed.winner
    assert winner is not None
    assert winner.values == {"train.lr": 1}
    assert confirmation.judge([lucky], [1, 2, 3], baseline, {4: [0.79, 0.83, 0.78]}).winner is None
