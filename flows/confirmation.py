"""Compares the best trials of a study with the current params.yaml, over seeds that the search did not use."""

from __future__ import annotations

import dataclasses
import statistics
from functools import partial
from typing import TYPE_CHECKING, Any

from flows.experiments import Bench, Count, all_done, unit_of_work
from hallmark.experiments import confirmation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hallmark.experiments.confirmation import Confirmed
    from hallmark.experiments.study import Row
    from hallmark.experiments.trial import Job

BEST = 2  # trials that are retrained


def confirm(
    bench: Bench,
    rows: Sequence[Row],
    *,
    baseline: float,
    seeds: int,
    trained_with: Callable[[dict[str, Any]], Any],
    jobs_of: Callable[[Any], list[Job]],
) -> Confirmed | None:
    """Trains both sides over ``seeds`` new seeds and compares; None if no trial beat params.yaml.

    ``jobs_of`` returns the trainings of one candidate, given its params.
    """
    chosen = confirmation.candidates(rows, count=BEST, baseline=baseline)
    if not chosen:
        return None
    now = bench.params["train"]
    fresh = [now.seed + 1 + offset for offset in range(seeds)]
    sides: list[tuple[int | None, Any]] = [(None, now), *((row.number, trained_with(row.values)) for row in chosen)]
    qualities: dict[tuple[int | None, int], float] = {}
    bench.console.say(f"Confirming: retraining params.yaml and the best {len(chosen)} trials with {seeds} new seeds")

    def train(number: int | None, params: Any, seed: int) -> None:
        outcomes = [bench.train(job) for job in jobs_of(dataclasses.replace(params, seed=seed))]
        quality = qualities[number, seed] = statistics.fmean(outcome.objective for outcome in outcomes)
        name = "current params.yaml" if number is None else f"trial {number + 1}"
        seconds = sum(each.seconds for each in outcomes)
        bench.console.say(f"  {name:<20} seed {seed}  {quality:.4f}  {seconds:6.1f} s  ({count.more()})")

    count = Count(len(fresh) * len(sides), "trainings")
    every = [(number, params, seed) for seed in fresh for number, params in sides]
    all_done(
        [
            unit_of_work(f"anew {number} seed {seed}", partial(train, number, params, seed))
            for number, params, seed in every
        ]
    )
    return confirmation.judge(
        chosen,
        fresh,
        [qualities[None, seed] for seed in fresh],
        {row.number: [qualities[row.number, seed] for seed in fresh] for row in chosen},
    )
