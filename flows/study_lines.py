"""Terminal output of ``hallmark tune``: one line per trial and a table of the best."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flows.experiments import Count
from hallmark.experiments.study import ranked
from hallmark.reporting import experiment_pages

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from flows.console import Console
    from hallmark.experiments.results import Tuned
    from hallmark.experiments.study import Study


class Progress:
    """Prints one line per trial and marks a new best with ``*``."""

    def __init__(self, console: Console, study: Study, *, total: int, baseline: float | None) -> None:
        self._console, self._study, self._total = console, study, total
        self._ended = False
        self._count = Count(max(0, total - study.counted()), "trials")
        best = study.best()
        self._best = max(
            [value for value in (baseline, best.quality if best else None) if value is not None], default=None
        )

    def trial(self, number: int, values: Mapping[str, Any], quality: float | None, what: str) -> None:
        mark = " "
        if quality is not None and (self._best is None or quality > self._best):
            self._best, mark = quality, "*"
        settings = "  ".join(f"{key.rpartition('.')[2]} {_short(value)}" for key, value in values.items())
        reached = f"{quality:.4f}" if quality is not None else "   –  "
        self._console.say(
            f"{mark} {number + 1:>4}/{self._total}  {reached}  {what}  {settings}  ({self._count.more()})"
        )

    def end(self, why: str) -> None:
        """Prints once why no further trial starts."""
        if not self._ended:
            self._ended = True
            self._console.say(f"  No further trial: {why}")


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def sum_up(tuned: Tuned, console: Console, page: Path) -> None:
    """Prints the best trials, the parameter importances and the page's path."""
    keys = list(tuned.rows[0].values) if tuned.rows else []
    latency = any(row.latency_ms is not None for row in tuned.rows)
    best = tuned.front if latency else ranked(tuned.rows)[:5]
    headings = ["trial", tuned.objective, *(["ms"] if latency else []), *keys]
    table = []
    if tuned.baseline is not None:
        blank = ["current" for _ in keys]
        ms = [experiment_pages.number(tuned.baseline_ms, 3)] if latency else []
        table.append(["params.yaml", f"{tuned.baseline:.4f}", *ms, *blank])
    for row in best:
        values = [_short(row.values[key]) for key in keys]
        ms = [f"{row.latency_ms:.3f}"] if latency else []
        table.append([str(row.number + 1), f"{row.quality:.4f}", *ms, *values])
    states = {state: sum(row.state == state for row in tuned.rows) for state in ("complete", "pruned", "failed")}
    counts = ", ".join(f"{count} {state}" for state, count in states.items() if count)
    title = "Best trade-offs of quality and latency" if latency else "Best trials"
    judged_on = f"over {tuned.folds} folds" if tuned.folds else "on the validation images"
    console.table(f"{title}, {judged_on} ({counts})", headings, table)
    if tuned.importances:
        console.say(
            "Importance  " + ", ".join(f"{key} {100 * share:.0f} %" for key, share in tuned.importances.items())
        )
    trained = sum(row.facts.get("seconds", 0.0) for row in tuned.rows)
    console.say(f"Time   {tuned.seconds:.1f} s in this run, {trained:.1f} s for all trainings of the study")
    console.say(f"Page   {page}")
