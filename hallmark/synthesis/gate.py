"""The result of a gate on generated images: passed or refused, the reason, and the figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One gate's judgement of a whole set; ``figures`` are plain JSON values."""

    name: str
    passed: bool
    reason: str
    figures: dict[str, Any]


def rounded(value: float) -> float | None:
    """A figure for the report: six digits, None if not finite.

    >>> rounded(0.12345678), rounded(float("nan"))
    (0.123457, None)
    """
    return float(f"{value:.6g}") if value == value and abs(value) != float("inf") else None
