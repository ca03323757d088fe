"""Confirms the best trials of a study against the current params.yaml over seeds that the search did not use.

The best of many trials owes part of its score to a lucky seed; new seeds remove that. The validation images stay the
same, so overfitting to them remains.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hallmark.experiments.study import ranked
from hallmark.judgement import paired

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hallmark.experiments.study import Row


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A retrained trial: mean ``quality`` over the seeds, and ``gain`` over the current params.yaml, paired by seed."""

    number: int
    values: dict[str, Any]
    quality: float
    gain: dict[str, Any]
    verdict: str


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """``baseline`` is the mean quality of the current params.yaml over ``seeds``."""

    seeds: list[int]
    baseline: float
    candidates: list[Candidate]

    @property
    def winner(self) -> Candidate | None:
        """The best candidate that is significantly better than the current params.yaml."""
        sure = [each for each in self.candidates if each.verdict == paired.KEEP]
        return max(sure, key=lambda each: (each.quality, -each.number), default=None)


def candidates(rows: Sequence[Row], *, count: int, baseline: float) -> list[Row]:
    """The best ``count`` trials that beat the current params.yaml, best first."""
    return [row for row in ranked(rows) if row.quality is not None and row.quality > baseline][:count]


def judge(
    chosen: Sequence[Row], seeds: Sequence[int], baseline: Sequence[float], qualities: Mapping[int, Sequence[float]]
) -> Confirmed:
    """``baseline`` is the quality of params.yaml by seed, ``qualities`` that of each trial by its number."""
    judged = []
    for row in chosen:
        gain = paired.interval(paired.differences(qualities[row.number], baseline))
        judged.append(
            Candidate(
                number=row.number,
                values=row.values,
                quality=statistics.fmean(qualities[row.number]),
                gain=gain,
                verdict=paired.verdict(gain),
            )
        )
    return Confirmed(seeds=list(seeds), baseline=statistics.fmean(baseline), candidates=judged)
