"""Results of a cross-validation: each metric over the folds, and the out-of-fold predictions as one table."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hallmark.judgement import paired

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from hallmark.experiments.folds import Fold
    from hallmark.experiments.trial import Outcome

OUT_OF_FOLD = "out_of_fold.parquet"
UNBOUNDED = ("log loss", "cost")  # every other metric is a share


@dataclass(frozen=True, kw_only=True)
class Metric:
    """Over all folds of all repeats; ``estimate`` is the mean with its corrected 95 % interval."""

    name: str
    estimate: dict[str, Any]
    spread: float | None
    low: float | None
    high: float | None


def summarise(objective: str, folds: Sequence[Fold], outcomes: Sequence[Outcome]) -> list[Metric]:
    """The objective and the published metrics; intervals are corrected for overlapping training sets."""
    overlap = statistics.fmean(outcome.n_judged / outcome.n_train for outcome in outcomes)
    values: dict[str, list[float | None]] = {objective: [outcome.objective for outcome in outcomes]}
    for name in outcomes[0].metrics:
        values.setdefault(name.replace("_", " "), [outcome.metrics[name] for outcome in outcomes])
    values["worst class's recall"] = [outcome.worst_recall for outcome in outcomes]
    assert len(folds) == len(outcomes)
    return [_metric(name, per_fold, overlap) for name, per_fold in values.items()]


def _metric(name: str, per_fold: Sequence[float | None], overlap: float) -> Metric:
    defined = [value for value in per_fold if value is not None]
    whole = len(defined) == len(per_fold) and len(defined) > 1
    estimate = paired.interval(per_fold, overlap=overlap)
    if estimate["value"] is not None and name not in UNBOUNDED:
        estimate["ci95"] = [min(1.0, max(0.0, edge)) for edge in estimate["ci95"]]
    return Metric(
        name=name,
        estimate=estimate,
        spread=statistics.stdev(defined) if whole else None,
        low=min(defined, default=None),
        high=max(defined, default=None),
    )


def out_of_fold(folds: Sequence[Fold], tables: Sequence[Path]) -> pd.DataFrame:
    """``path, repeat, fold, label, predicted`` and a probability per class, of each judged image, by repeat and path.

    A class missing from a fold's model has probability 0 there.
    """
    import pandas as pd

    parts = []
    for fold, path in zip(folds, tables, strict=True):
        part = pd.read_parquet(path)
        part.insert(1, "repeat", fold.repeat)
        part.insert(2, "fold", fold.number)
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    probabilities = sorted(table.columns[5:])
    table[probabilities] = table[probabilities].fillna(0.0)
    columns = [*table.columns[:5], *probabilities]
    return table[columns].sort_values(["repeat", "path"], ignore_index=True)
