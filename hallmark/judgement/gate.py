"""Whether a model may be registered, and whether it takes the champion's place.

The rule, in order:

1. *Gate.* The objective beats the best constant answer for sure (the lower bound of its interval is above it), reaches
   ``objective`` and no class has a recall below ``worst_recall``; else the model is ``refused``.
2. *No champion*: ``promoted``.
3. *Champion with comparable predictions* (the same classes, and at least half of the test images in common): both are
   judged on the images they share; the gain is bootstrapped in pairs, so that what is hard for both cancels out. Else,
   with the same classes: each is resampled on its own test set.
4. ``promoted`` if the gain is above ``min_gain`` and the share of resamples with a gain above 0 is at least
   ``confidence``; else ``challenger``.

Resampling draws rows with replacement within each class (Efron & Tibshirani 1993).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hallmark.contracts import require
from hallmark.judgement.objective import Objective, describe, score

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

PROMOTED, CHALLENGER, REFUSED = "promoted", "challenger", "refused"
SHARED = 0.5  # of the test images, for a comparison in pairs


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What every registered model has to reach; None asks nothing."""

    beat_constant: bool
    objective: float | None
    worst_recall: float

    def __post_init__(self) -> None:
        require.in_range(0, 1, worst_recall=self.worst_recall)
        require.in_range(-1e9, 1e9, objective=self.objective)


@dataclass(frozen=True)
class Judged:
    """Predictions on a test set: ``paths`` [n], ``labels`` [n] into ``classes``, ``probabilities`` [n, classes]."""

    paths: NDArray[np.object_]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    classes: tuple[str, ...]

    @staticmethod
    def of(table: pd.DataFrame, classes: Sequence[str]) -> Judged:
        """From ``path, label, predicted`` and one column per class; labels the model does not know come last."""
        import numpy as np

        labels = table["label"].astype(str)
        everything = (*classes, *sorted(set(labels) - set(classes)))
        index = {name: place for place, name in enumerate(everything)}
        assert table.shape[1] == 3 + len(everything), f"predictions have {table.shape[1] - 3} probability columns"
        return Judged(
            table["path"].astype(str).to_numpy(dtype=object),
            np.array([index[label] for label in labels], dtype=np.int64),
            table.iloc[:, 3:].to_numpy(dtype=np.float64),
            everything,
        )

    def rows(self, keep: NDArray[np.int64]) -> Judged:
        """Some rows."""
        return Judged(self.paths[keep], self.labels[keep], self.probabilities[keep], self.classes)


def assess(
    gate: Gate, objective: Objective, judged: Judged, *, confidence: float, replicates: int, seed: int
) -> tuple[float, list[str]]:
    """The objective's value and why the model is refused (nothing if it passes)."""
    import numpy as np

    value = _score(objective, judged)
    name = describe(objective)
    reasons = []
    if gate.objective is not None and value < gate.objective:
        reasons.append(f"{name} is {value:.4g}, below register.gate.objective {gate.objective:.4g}")
    constant = _constant(objective, judged)
    if gate.beat_constant and constant is not None:
        drawn = [_score(objective, judged.rows(keep)) for keep in _draws(judged.labels, replicates, seed)]
        low = float(np.quantile(drawn, 1 - confidence))
        if not low > constant:
            reasons.append(
                f"{name} is {value:.4g} (at least {low:.4g} with confidence {confidence:g}), "
                f"not above {constant:.4g}, which a constant answer reaches"
            )
    predicted = judged.probabilities.argmax(axis=1)
    for place, label in enumerate(judged.classes):
        mine = judged.labels == place
        if mine.any() and (recall := float((predicted[mine] == place).mean())) < gate.worst_recall:
            reasons.append(
                f"recall of '{label}' is {recall:.4g}, below register.gate.worst_recall {gate.worst_recall:.4g}"
            )
    return value, reasons


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A model against the champion: gain in the objective, share of resamples with a gain, on how many images."""

    gain: float
    share: float
    images: int
    paired: bool


def compare(objective: Objective, new: Judged, champion: Judged, *, replicates: int, seed: int) -> Comparison | None:
    """None where the two do not know the same classes."""
    import numpy as np

    if set(new.classes) != set(champion.classes):
        return None
    order = [champion.classes.index(name) for name in new.classes]
    back: NDArray[np.int64] = np.argsort(order)
    champion = Judged(champion.paths, back[champion.labels], champion.probabilities[:, order], new.classes)
    where = {key: place for place, key in enumerate(zip(champion.paths, champion.labels.tolist(), strict=True))}
    pairs = [
        (mine, where[key]) for mine, key in enumerate(zip(new.paths, new.labels.tolist(), strict=True)) if key in where
    ]
    paired = len(pairs) >= SHARED * max(len(new.labels), len(champion.labels))
    if paired:
        mine, theirs = (np.array(side, dtype=np.int64) for side in zip(*pairs, strict=True))
        new, champion = new.rows(mine), champion.rows(theirs)
        draws = [(keep, keep) for keep in _draws(new.labels, replicates, seed)]
    else:
        draws = list(
            zip(_draws(new.labels, replicates, seed), _draws(champion.labels, replicates, seed + 1), strict=True)
        )
    gains = np.array([_score(objective, new.rows(a)) - _score(objective, champion.rows(b)) for a, b in draws])
    return Comparison(
        gain=_score(objective, new) - _score(objective, champion),
        share=float((gains > 0).mean()),
        images=len(new.labels),
        paired=paired,
    )


def decide(comparison: Comparison, *, version: int, min_gain: float, confidence: float) -> tuple[str, str]:
    """The decision and its reason."""
    how = "in pairs" if comparison.paired else "each on its own test set"
    said = (
        f"against champion version {version}, {how} on {comparison.images} images: gain {comparison.gain:+.4g}, "
        f"above 0 in {comparison.share:.1%} of resamples"
    )
    if comparison.gain > min_gain and comparison.share >= confidence:
        return PROMOTED, said
    return CHALLENGER, f"{said}; needed: gain above {min_gain:g} and {confidence:.1%} of resamples"


def _score(objective: Objective, judged: Judged) -> float:
    return score(objective, judged.labels, judged.probabilities, judged.classes)


def _constant(objective: Objective, judged: Judged) -> float | None:
    """The best that one answer for every image reaches; None for a recall, which one answer makes perfect."""
    import numpy as np

    if objective.metric == "recall":
        return None
    n, k = judged.probabilities.shape
    shares = np.bincount(judged.labels, minlength=k) / n
    answers = [shares, *np.eye(k)[shares > 0]]
    return max(score(objective, judged.labels, np.broadcast_to(answer, (n, k)), judged.classes) for answer in answers)


def _draws(labels: NDArray[np.int64], replicates: int, seed: int) -> list[NDArray[np.int64]]:
    """Rows drawn with replacement within each class, ``replicates`` times."""
    import numpy as np

    generator = np.random.default_rng(seed)
    strata = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return [
        np.concatenate([generator.choice(rows, size=len(rows), replace=True) for rows in strata])
        for _ in range(replicates)
    ]
