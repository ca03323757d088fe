"""What an experiment ends with: the values that its page, its terminal lines and its callers read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from hallmark.experiments.ablation import Finding
    from hallmark.experiments.confirmation import Confirmed
    from hallmark.experiments.crossvalidation import Metric
    from hallmark.experiments.study import Row
    from hallmark.experiments.trial import Outcome


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """A study as it stands; ``confirmed`` where its best was trained anew.

    ``baseline`` is the quality of params.yaml as it is, None where it was not asked for; ``baseline_ms`` its
    milliseconds an image, None where they were not measured.
    """

    study: str
    objective: str
    folds: int
    baseline: float | None
    baseline_ms: float | None
    rows: list[Row]
    front: list[Row]
    importances: dict[str, float]
    seconds: float
    confirmed: Confirmed | None


@dataclass(frozen=True, kw_only=True)
class Ablated:
    """``refused`` holds, by step, what a gate said of the pipeline without (or with) it."""

    objective: str
    n_judged: int
    seeds: list[int]
    findings: list[Finding]
    refused: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Crossvalidated:
    """``metrics`` are over all folds of all repeats; ``table`` is where the out-of-fold predictions lie."""

    objective: str
    folds: list[tuple[str, Outcome]]
    metrics: list[Metric]
    warnings: list[str]
    table: Path
    model_uri: str
