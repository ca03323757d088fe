"""Are the best trials of a study better than params.yaml as it is? Trained anew over seeds that the search did not use.

The best of many trials is partly the luckiest. Over fresh seeds its luck is drawn anew, as that of params.yaml is; the
validation images are the same, so that what is fitted to them alone stays.
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
    """A trial trained anew: ``quality`` over the seeds, ``gain`` over params.yaml as it is, in pairs of equal seeds."""

    number: int
    values: dict[str, Any]
    quality: float
    gain: dict[str, Any]
    verdict: str


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """``baseline`` is the mean quality of params.yaml as it is over ``seeds``."""

    seeds: list[int]
    baseline: float
    candidates: list[Candidate]

    @property
    def winner(self) -> Candidate | None:
        """The best candidate that is surely better than params.yaml as it is."""
        sure = [each for each in self.candidates if each.verdict == paired.KEEP]
        return max(sure, key=lambda each: (each.quality, -each.number), default=None)


def candidates(rows: Sequence[Row], *, count: int, baseline: float) -> list[Row]:
    """The best ``count`` trials of those that were better than params.yaml as it is, the best first."""
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
