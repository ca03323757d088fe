"""The registration gate: whether a model may be registered, and whether it replaces the champion.

The rule, in order:

1. *Gate.* The lower bound of the objective is above the best constant prediction, the objective reaches ``objective``,
   and no class has a recall below ``worst_recall``; else the model is ``refused``.
2. *No champion*: ``promoted``.
3. *Champion with the same classes*: if at least half of the test images are shared, both models are evaluated on the
   shared images and the gain is bootstrapped in pairs. Else each model is resampled on its own test set.
4. ``promoted`` if the gain is above ``min_gain`` and the share of resamples with a gain above 0 is at least
   ``confidence``; else ``challenger``.

Resampling draws whole duplicate clusters with replacement within each class (:mod:`hallmark.statistics.intervals`).
Where each class is a single cluster, all resamples agree and prove nothing: the share is 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hallmark.contracts import require
from hallmark.judgement.objective import Objective, describe, score

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hallmark.judgement.judged import Judged

PROMOTED, CHALLENGER, REFUSED = "promoted", "challenger", "refused"
SHARED = 0.5  # least share of common test images for a paired comparison


@dataclass(frozen=True, kw_only=True)
class Gate:
    """The requirements for registration; None means no requirement."""

    beat_constant: bool
    objective: float | None
    worst_recall: float

    def __post_init__(self) -> None:
        require.in_range(0, 1, worst_recall=self.worst_recall)
        require.in_range(-1e9, 1e9, objective=self.objective)


def assess(
    gate: Gate, objective: Objective, judged: Judged, *, confidence: float, replicates: int, seed: int
) -> tuple[float, list[str]]:
    """The objective's value and the reasons for refusal (empty if the model passes)."""
    import numpy as np

    from hallmark.judgement.assessment import objective_replicates

    value = _score(objective, judged)
    name = describe(objective)
    reasons = []
    if gate.objective is not None and value < gate.objective:
        reasons.append(f"{name} is {value:.4g}, below register.gate.objective {gate.objective:.4g}")
    constant = _constant(objective, judged)
    if gate.beat_constant and constant is not None:
        drawn = objective_replicates(objective, judged, replicates=replicates, seed=seed)
        # a resample without the class that the objective needs is undefined; without any defined one, the gate fails
        finite = drawn[np.isfinite(drawn)]
        low = float(np.quantile(finite, 1 - confidence)) if len(finite) else -np.inf
        if not low > constant:
            reasons.append(
                f"{name} is {value:.4g} (at least {low:.4g} with confidence {confidence:g}), "
                f"not above {constant:.4g}, the score of the best constant prediction"
            )
    predicted = judged.probabilities.argmax(axis=1)
    for index, label in enumerate(judged.classes):
        mine = judged.labels == index
        if mine.any() and (recall := float((predicted[mine] == index).mean())) < gate.worst_recall:
            reasons.append(
                f"recall of '{label}' is {recall:.4g}, below register.gate.worst_recall {gate.worst_recall:.4g}"
            )
    return value, reasons


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A model against the champion: gain in the objective, share of resamples with a gain, number of images."""

    gain: float
    share: float
    images: int
    paired: bool


def compare(objective: Objective, new: Judged, champion: Judged, *, replicates: int, seed: int) -> Comparison | None:
    """The model against the champion; None if their classes differ."""
    from hallmark.judgement.assessment import objective_replicates

    if set(new.classes) != set(champion.classes):
        return None
    champion = champion.reordered(new.classes)
    shared = _shared(new, champion)
    paired = shared.shape[1] >= SHARED * max(len(new.labels), len(champion.labels))
    if paired:
        # the clusters of the newer data are the more complete
        new, champion = new.rows(shared[0]), replace(champion.rows(shared[1]), clusters=new.clusters[shared[0]])
    # in pairs, the same clusters are drawn for both
    draws = [
        objective_replicates(objective, judged, replicates=replicates, seed=each)
        for judged, each in ((new, seed), (champion, seed if paired else seed + 1))
    ]
    return Comparison(
        gain=_score(objective, new) - _score(objective, champion),
        share=float((draws[0] > draws[1]).mean()) if _varies(new) else 0.0,
        images=len(new.labels),
        paired=paired,
    )


def _varies(judged: Judged) -> bool:
    """Whether resamples can differ: some class has images of two clusters."""
    labels = judged.labels.tolist()
    return len(set(zip(labels, judged.clusters.tolist(), strict=True))) > len(set(labels))


def _shared(new: Judged, champion: Judged) -> NDArray[np.int64]:
    """The rows of both with the same path and label, [2, images]."""
    import numpy as np

    assert new.paths is not None, "images are matched by their paths"
    assert champion.paths is not None, "images are matched by their paths"
    row = {key: number for number, key in enumerate(zip(champion.paths, champion.labels.tolist(), strict=True))}
    keys = enumerate(zip(new.paths, new.labels.tolist(), strict=True))
    pairs = [(number, row[key]) for number, key in keys if key in row]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2).T


def decide(comparison: Comparison, *, version: int, min_gain: float, confidence: float) -> tuple[str, str]:
    """The decision and its reason."""
    how = "in pairs" if comparison.paired else "each on its own test set"
    result = (
        f"against champion version {version}, {how} on {comparison.images} images: gain {comparison.gain:+.4g}, "
        f"above 0 in {comparison.share:.1%} of resamples"
    )
    if comparison.gain > min_gain and comparison.share >= confidence:
        return PROMOTED, result
    return CHALLENGER, f"{result}; needed: gain above {min_gain:g} and {confidence:.1%} of resamples"


def _score(objective: Objective, judged: Judged) -> float:
    return score(objective, judged.labels, judged.probabilities, judged.classes)


def _constant(objective: Objective, judged: Judged) -> float | None:
    """The best score of a constant prediction; None for recall, which a constant prediction makes perfect."""
    import numpy as np

    if objective.metric == "recall":
        return None
    n, k = judged.probabilities.shape
    shares = np.bincount(judged.labels, minlength=k) / n
    answers = [shares, *np.eye(k)[shares > 0]]
    return max(score(objective, judged.labels, np.broadcast_to(answer, (n, k)), judged.classes) for answer in answers)
