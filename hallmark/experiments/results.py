"""Results of experiments, for their pages, terminal output and callers."""

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
    """The current state of a study; ``confirmed`` if its best trials were retrained.

    ``baseline`` is the quality of the current params.yaml, None if not requested; ``baseline_ms`` its milliseconds per
    image, None if not measured.
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
    """``refused`` holds, by step, the gate's refusal of the pipeline without (or with) it."""

    objective: str
    n_judged: int
    seeds: list[int]
    findings: list[Finding]
    refused: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Crossvalidated:
    """``metrics`` are over all folds of all repeats; ``table`` is the path of the out-of-fold predictions."""

    objective: str
    folds: list[tuple[str, Outcome]]
    metrics: list[Metric]
    warnings: list[str]
    table: Path
    model_uri: str
