"""Advice on what to do next, as data: each piece names one command, and a gain only if it was measured.

A measured gain comes from the learning curve of the linear baseline or from an ablation. :mod:`data_advice` and
:mod:`model_advice` hold the rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hallmark.reporting import words

if TYPE_CHECKING:
    from collections.abc import Iterable

Json = dict[str, Any]

# blocking problems come before measured gains; ORDER ranks the advice without a measured gain
BLOCKING = ("weak_model", "class_left_out")
ORDER = (
    "review_labels",
    "pretrained",
    "more_images_of_class",
    "confusion",
    "weak_slice",
    "crossvalidation",
    "quarantined",
    "imbalance",
    "stale_decisions",
    "ablation",
)
MEASURED = ("more_images", "step")  # always with a measured gain
KINDS = (*BLOCKING, *MEASURED, *ORDER)

LOSSES = ("log_loss", "cost")


@dataclass(frozen=True, kw_only=True)
class Gain:
    """The gain of an objective ``of`` in its units, with its 95 % interval and the ``basis`` of the estimate."""

    of: str
    value: float
    ci95: tuple[float, float]
    basis: str
    share: bool  # a share, shown in percentage points

    def text(self) -> str:
        """The gain on one line.

        >>> Gain(of="macro F1", value=0.031, ci95=(0.01, 0.05), basis="", share=True).text()
        '+3.1 points of macro F1 (95 % interval +1.0 to +5.0)'
        """
        scale, digits, unit = (100, 1, " points of") if self.share else (1, 4, " of")
        edges = words.span([scale * edge for edge in self.ci95], digits)
        return f"{words.signed(scale * self.value, digits)}{unit} {self.of} (95 % interval {edges})"


@dataclass(frozen=True, kw_only=True)
class Advice:
    """One thing to do. ``gain``: None if not measured; ``weight``: the share of the gain that the objective shows."""

    kind: str
    text: str
    command: str
    evidence: str
    gain: Gain | None = None
    weight: float = 1.0


def ordered(advice: Iterable[Advice]) -> list[Advice]:
    """Blocking problems, then measured gains (largest first), then the rest in the order of :data:`ORDER`."""
    return sorted(advice, key=_rank)


def _rank(advice: Advice) -> tuple[int, float]:
    if advice.kind in BLOCKING:
        return 0, BLOCKING.index(advice.kind)
    if advice.gain is not None:
        return 1, -advice.gain.value * advice.weight
    return 2, ORDER.index(advice.kind)


def objective_words(evaluate: Json) -> str:
    """The objective's name in text.

    >>> objective_words({"objective": {"metric": "macro_f1", "class_name": ""}})
    'macro F1'
    """
    objective = evaluate["objective"]
    if objective["metric"] == "recall":
        return f"recall of {objective['class_name']}"
    return metric_words(objective["metric"])


def metric_words(metric: str) -> str:
    """A metric's name in text.

    >>> metric_words("auroc"), metric_words("balanced_accuracy")
    ('AUROC', 'balanced accuracy')
    """
    return metric.replace("_", " ").replace(" f1", " F1").replace("auroc", "AUROC")


def is_share(evaluate: Json) -> bool:
    """Whether the objective is a share, whose differences are shown in percentage points."""
    return evaluate["objective"]["metric"] not in LOSSES
