"""What becomes of a transform that was audited, and the reasons in words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hallmark.transforms.catalogue import Transform

ALL = ""  # the class of the row that counts all images


@dataclass(frozen=True, kw_only=True)
class Rule:
    """When a transform is held to change labels."""

    tolerance: float  # retained agreement that is still well
    confidence: float  # of the intervals, over all classes of a transform together
    min_images: int  # rightly judged images below which a class tells nothing
    weaker: tuple[float, ...]  # strengths tried instead, strongest first


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What becomes of one transform.

    ``outcome`` is kept, weakened, dropped, cannot_tell, left_out, warned or not_audited.
    """

    transform: Transform
    replacement: Transform | None  # None where it is dropped
    outcome: str
    reason: str
    strength: float | None  # the one in the policy, None where dropped
    retained: float | None
    interval: tuple[float, float] | None
    classes: tuple[dict[str, Any], ...]  # per class at the strength asked for, the worst first

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
    """The verdict on a transform that no judge saw: it stays."""
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
    """The verdict where the audit may only warn: what would be weakened or dropped stays as it was asked for."""
    if verdict.outcome not in ("weakened", "dropped"):
        return verdict
    return replace(verdict, replacement=verdict.transform, outcome="warned", strength=1.0)


def percent(row: dict[str, Any]) -> str:
    """Agreement retained, with its interval."""
    return f"{100 * row['retained']:.0f} % ({100 * row['low']:.0f}–{100 * row['high']:.0f} %)"


def guilt(rows: list[dict[str, Any]], rule: Rule) -> str:
    """Why a transform is held to change labels; the first row is that of all images."""
    guilty = [row for row in rows if row["retained"] is not None and row["high"] < rule.tolerance]
    classes = sorted((row for row in guilty if row["label"] != ALL), key=lambda row: (row["retained"], row["label"]))
    words = f"of the labels {percent(rows[0])} are kept"
    if classes:
        named = ", ".join(f"{row['label']} {percent(row)}" for row in classes[:3])
        words += f"; of the classes worst: {named}" + (f" and {len(classes) - 3} more" if len(classes) > 3 else "")
    return f"it changes labels: {words}, where {100 * rule.tolerance:.0f} % is asked"


def doubt(row: dict[str, Any], rule: Rule) -> str:
    """Why nothing can be told of a transform."""
    if row["right_before"] < rule.min_images:
        return (
            f"the judge is right about {row['right_before']} of {row['images']} untouched images, "
            f"and {rule.min_images} are needed"
        )
    return f"{percent(row)} of the labels are kept, which reaches across the {100 * rule.tolerance:.0f} % asked"
