"""Verdicts of the audit on each transform, and their reasons in words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hallmark.transforms.catalogue import Transform

ALL = ""  # the label of the row over all images


@dataclass(frozen=True, kw_only=True)
class Rule:
    """When a transform counts as changing labels."""

    tolerance: float  # least retained agreement
    confidence: float  # of the intervals, jointly over the classes of a transform
    min_images: int  # correctly classified images that a verdict needs
    weaker: tuple[float, ...]  # strengths to try instead, strongest first


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The audit's decision on one transform.

    ``outcome`` is kept, weakened, dropped, cannot_tell, left_out, warned or not_audited.
    """

    transform: Transform
    replacement: Transform | None  # None if dropped
    outcome: str
    reason: str
    strength: float | None  # in the resulting policy, None if dropped
    retained: float | None
    interval: tuple[float, float] | None
    classes: tuple[dict[str, Any], ...]  # per class at full strength, worst first

    def summary(self, most_classes: int) -> dict[str, Any]:
        """The verdict as plain values, with the worst ``most_classes`` classes."""
        keys = ("label", "images", "right_before", "right_after", "retained", "low", "high", "finding")
        return {
            **self.transform,
            "outcome": self.outcome,
            "reason": self.reason,
            "strength": self.strength,
            "retained": self.retained,
            "interval": list(self.interval) if self.interval else None,
            "classes": [{key: row[key] for key in keys} for row in self.classes[:most_classes]],
        }


def unjudged(leaf: Transform, outcome: str, reason: str) -> Verdict:
    """The verdict on a transform without an audit: it stays."""
    return Verdict(
        transform=leaf,
        replacement=leaf,
        outcome=outcome,
        reason=reason,
        strength=1.0,
        retained=None,
        interval=None,
        classes=(),
    )


def warned(verdict: Verdict) -> Verdict:
    """The verdict if the audit only warns: a transform that would be weakened or dropped stays unchanged."""
    if verdict.outcome not in ("weakened", "dropped"):
        return verdict
    return replace(verdict, replacement=verdict.transform, outcome="warned", strength=1.0)


def percent(row: dict[str, Any]) -> str:
    """Agreement retained, with its interval."""
    return f"{100 * row['retained']:.0f} % ({100 * row['low']:.0f}–{100 * row['high']:.0f} %)"


def guilt(rows: list[dict[str, Any]], rule: Rule) -> str:
    """Why a transform counts as changing labels; the first row covers all images."""
    guilty = [row for row in rows if row["retained"] is not None and row["high"] < rule.tolerance]
    classes = sorted((row for row in guilty if row["label"] != ALL), key=lambda row: (row["retained"], row["label"]))
    words = f"{percent(rows[0])} of the labels are kept"
    if classes:
        named = ", ".join(f"{row['label']} {percent(row)}" for row in classes[:3])
        words += f"; worst classes: {named}" + (f" and {len(classes) - 3} more" if len(classes) > 3 else "")
    return f"it changes labels: {words}; the tolerance is {100 * rule.tolerance:.0f} %"


def doubt(row: dict[str, Any], rule: Rule) -> str:
    """Why the audit of a transform is inconclusive."""
    if row["right_before"] < rule.min_images:
        return (
            f"the judge is right on {row['right_before']} of {row['images']} untouched images; "
            f"{rule.min_images} are needed"
        )
    return f"{percent(row)} of the labels are kept; the interval includes the {100 * rule.tolerance:.0f} % tolerance"
