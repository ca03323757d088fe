"""Results of an ablation: for each step, runs with it against runs without it, paired by seed."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hallmark.judgement import paired

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hallmark.experiments.interventions import Intervention
    from hallmark.experiments.trial import Outcome

AS_IT_IS = "as it is"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One step: ``gain`` and ``worst_gain`` are with minus without, for the objective and the worst class's recall.

    ``cost`` is the extra seconds of one run, training and stages; ``stages_known`` is false if a stage came from DVC's
    cache, so that its seconds are missing. ``same``: the step changes nothing on these data.
    """

    name: str
    active: bool
    with_it: float
    without: float
    gain: dict[str, Any]
    worst_gain: dict[str, Any]
    cost: float
    stages_known: bool
    same: bool
    verdict: str


def compare(
    steps: Sequence[Intervention],
    outcomes: Mapping[str, Sequence[Outcome]],
    seconds: Mapping[str, Mapping[str, float | None]],
    *,
    bounds: tuple[float, float] | None = None,
) -> list[Finding]:
    """The finding of each step that was trained in both variants.

    ``outcomes`` holds the runs of :data:`AS_IT_IS` and, by step name, of each other variant, in the order of the seeds;
    ``seconds`` holds the stages' seconds likewise. ``bounds`` limit a gain of the objective.
    """
    findings = []
    for step in steps:
        if step.name not in outcomes:
            continue
        one, other = (AS_IT_IS, step.name) if step.active else (step.name, AS_IT_IS)
        present, absent = outcomes[one], outcomes[other]
        gains = paired.differences([run.objective for run in present], [run.objective for run in absent])
        worst = paired.differences([run.worst_recall for run in present], [run.worst_recall for run in absent])
        gain = paired.interval(gains, bounds=bounds)
        cost, complete = _cost(seconds.get(one, {}), seconds.get(other, {}))
        findings.append(
            Finding(
                name=step.name,
                active=step.active,
                with_it=statistics.fmean(run.objective for run in present),
                without=statistics.fmean(run.objective for run in absent),
                gain=gain,
                worst_gain=paired.interval(worst, bounds=paired.OF_SHARES),
                cost=statistics.fmean(run.seconds for run in present)
                - statistics.fmean(run.seconds for run in absent)
                + cost,
                stages_known=complete,
                same=all(
                    a.objective == b.objective and a.recall == b.recall for a, b in zip(present, absent, strict=True)
                ),
                # two differences may agree by chance, especially for the recall of few images
                verdict=paired.verdict(gain) if len(gains) > 2 else paired.CANNOT_TELL,
            )
        )
    return findings


def caution(seeds: int) -> str:
    """A warning if there are too few seeds for an interval, else empty."""
    if seeds > 2:
        return ""
    if seeds == 2:
        return (
            "Two seeds cannot tell: a t interval over two differences is 25 standard errors wide. Give --seeds 3 or "
            "more; 5 tell most steps from chance."
        )
    return "One seed has no interval: give --seeds 3 or more."


def to_apply(steps: Sequence[Intervention], findings: Sequence[Finding]) -> dict[str, Any]:
    """The values by key that apply the verdicts: harmful steps off, helpful ones on."""
    by_name = {step.name: step for step in steps}
    values: dict[str, Any] = {}
    for finding in findings:
        step = by_name[finding.name]
        if (finding.active and finding.verdict == paired.DROP) or (
            not finding.active and finding.verdict == paired.KEEP
        ):
            values |= step.other
    return values


def _cost(one: Mapping[str, float | None], other: Mapping[str, float | None]) -> tuple[float, bool]:
    """Extra seconds of ``one`` over ``other``, of the stages timed in both; and whether all were."""
    total, complete = 0.0, True
    for stage in {*one, *other}:
        a, b = one.get(stage), other.get(stage)
        if a is None or b is None:
            complete = False
        else:
            total += a - b
    return total, complete
