"""Experiment pages: figures and tables in one HTML file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hallmark.experiments.ablation import caution
from hallmark.judgement import paired
from hallmark.reporting import charts, words
from hallmark.reporting import experiment_figures as figures
from hallmark.reporting.templating import environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hallmark.experiments.ablation import Finding
    from hallmark.experiments.confirmation import Confirmed
    from hallmark.experiments.crossvalidation import Metric
    from hallmark.experiments.results import Ablated, Crossvalidated, Tuned
    from hallmark.experiments.space import Space

FIGURE = re.compile(r"–|[-+]?[\d,.]+(?:e[-+]?\d+)?\*?(?: to [-+]?[\d,.]+)?")


@dataclass(frozen=True, kw_only=True)
class Section:
    """``figure`` is SVG, by matplotlib (``drawn``) or the report's charts; ``rows`` hold cells as text."""

    title: str
    figure: str = ""
    drawn: bool = False
    headings: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    note: str = ""

    @property
    def numeric(self) -> set[int]:
        """The columns that hold only numbers."""
        return {
            column for column in range(1, len(self.headings)) if all(FIGURE.fullmatch(row[column]) for row in self.rows)
        }


def render(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The page's HTML in the report's style; all data is escaped."""
    template = environment().get_template("experiment.html")
    return template.render(title=title, lead=lead, sections=sections)


def tuning(tuned: Tuned, space: Space) -> str:
    """The page of a study: history, importances, values and table of the trials."""
    done = [(row, row.quality) for row in tuned.rows if row.quality is not None]
    latency = any(row.latency_ms is not None for row, _ in done)
    keys = [dimension.key for dimension in space.dimensions]
    sections = []
    if done:
        points = [(row.number, quality) for row, quality in done]
        sections.append(
            Section(
                title="Quality of the trials",
                drawn=True,
                figure=figures.history(points, tuned.objective, tuned.baseline),
            )
        )
        if latency:
            on = {row.number for row in tuned.front}
            trials = [
                (row.latency_ms, quality, row.number in on) for row, quality in done if row.latency_ms is not None
            ]
            sections.append(
                Section(
                    title="Quality against latency",
                    drawn=True,
                    figure=figures.front(trials, tuned.objective),
                )
            )
        if tuned.importances:
            sections.append(Section(title="What matters", drawn=True, figure=figures.importances(tuned.importances)))
        values = [(row.values, quality) for row, quality in done]
        sections.append(
            Section(
                title="The values of the trials",
                drawn=True,
                figure=figures.parallel(values, space, tuned.objective),
            )
        )
    sections.append(
        Section(
            title="All trials",
            headings=["trial", "state", tuned.objective, *(["ms"] if latency else []), "seconds", *keys],
            rows=[
                [
                    str(row.number + 1),
                    row.state,
                    number(row.quality),
                    *([number(row.latency_ms)] if latency else []),
                    number(row.facts.get("seconds"), 1),
                    *(
                        f"{row.values[key]:.4g}"
                        if isinstance(row.values.get(key), float)
                        else str(row.values.get(key, "–"))
                        for key in keys
                    ),
                ]
                for row in tuned.rows
            ],
            note=(
                f"Judged over {tuned.folds} folds of the training and validation images. "
                if tuned.folds
                else "Judged on the validation images, which also choose the epoch. "
            )
            + "The best of many trials is biased upwards. The test set was not read.",
        )
    )
    if tuned.confirmed is not None:
        sections.insert(
            0,
            Section(
                title=f"The best trials, retrained over {len(tuned.confirmed.seeds)} other seeds",
                headings=CONFIRMED_HEADINGS,
                rows=confirmed_rows(tuned.confirmed),
                note=f"The current params.yaml over the same seeds: {tuned.confirmed.baseline:.4f}. Gains are paired; "
                "keep: the whole interval is above 0. The validation images are those of the search.",
            ),
        )
    baseline = "" if tuned.baseline is None else f" Current params.yaml: {tuned.baseline:.4f}"
    baseline += "" if tuned.baseline_ms is None else f", {tuned.baseline_ms:.3f} ms an image"
    baseline += "." if baseline else ""
    best = f" Best: {tuned.front[0].quality:.4f}." if tuned.front else ""
    return render(f"Tuning: {tuned.study}", f"{len(tuned.rows)} trials, {tuned.objective}.{baseline}{best}", sections)


CONFIRMED_HEADINGS = ("trial", "quality", "gain", "95 % interval", "verdict")


def confirmed_rows(confirmed: Confirmed) -> list[list[str]]:
    """One row per retrained trial, for the terminal and the page."""
    return [
        [str(each.number + 1), number(each.quality), signed(each.gain["value"]), span(each.gain["ci95"]), each.verdict]
        for each in confirmed.candidates
    ]


def number(value: float | None, digits: int = 4) -> str:
    """A number as text, a dash for None.

    >>> number(0.5), number(None)
    ('0.5000', '–')
    """
    return "–" if value is None else words.fixed(value, digits)


ABLATION_HEADINGS = (
    "step",
    "with",
    "without",
    "gain",
    "95 % interval",
    "worst class",
    "95 % interval",
    "seconds",
    "verdict",
)


def ablation_rows(findings: Sequence[Finding]) -> list[list[str]]:
    """One row per step, for the terminal and the page."""
    return [
        [
            finding.name,
            number(finding.with_it),
            number(finding.without),
            signed(finding.gain["value"]),
            span(finding.gain["ci95"]),
            signed(finding.worst_gain["value"]),
            span(finding.worst_gain["ci95"]),
            signed(finding.cost, 1) + ("" if finding.stages_known else "*"),
            "changes nothing" if finding.same else finding.verdict,
        ]
        for finding in findings
    ]


def ablation(ablated: Ablated) -> str:
    """The page of an ablation: gains with intervals, the table, and the refused steps."""
    measured = [finding for finding in ablated.findings if finding.gain["value"] is not None]
    bars = [(each.name, each.gain["value"], *each.gain["ci95"], each.verdict) for each in measured]
    worst = [
        (each.name, each.worst_gain["value"], *each.worst_gain["ci95"], paired.verdict(each.worst_gain))
        for each in measured
        if each.worst_gain["value"] is not None
    ]
    sections = [
        Section(
            title="Gain of each step",
            figure=charts.intervals(bars, title=f"{ablated.objective}: with the step minus without it") if bars else "",
            headings=ABLATION_HEADINGS,
            rows=ablation_rows(ablated.findings),
            note="Intervals: paired t over the training seeds, 95 % for each step by itself. They cover other seeds on "
            "these validation images, not other images. Seconds: of one run, with minus without; an asterisk: of "
            "training alone, because a stage came from the cache. The test set was not read. "
            + caution(len(ablated.seeds)),
        )
    ]
    if worst:
        sections.append(
            Section(
                title="Recall of the worst class",
                figure=charts.intervals(worst, title="with the step minus without it"),
            )
        )
    if ablated.refused:
        sections.append(
            Section(
                title="Refused",
                headings=("step", "the gate's message"),
                rows=[[name, words] for name, words in ablated.refused.items()],
            )
        )
    lead = f"{ablated.objective} on {ablated.n_judged} validation images, {len(ablated.seeds)} seeds, paired."
    return render("Ablation: does each step help?", lead, sections)


signed, span = words.signed, words.span

CROSSVALIDATION_HEADINGS = ("metric", "mean", "95 % interval", "spread", "lowest", "highest")


def crossvalidation_rows(metrics: Sequence[Metric]) -> list[list[str]]:
    """One row per metric, for the terminal and the page."""
    rows = []
    for metric in metrics:
        low, high = metric.estimate["ci95"]
        edges = "–" if low is None or high is None else f"{low:.4f} to {high:.4f}"
        spread, least, most = number(metric.spread), number(metric.low), number(metric.high)
        rows.append([metric.name, number(metric.estimate["value"]), edges, spread, least, most])
    return rows


def crossvalidation(results: Crossvalidated) -> str:
    """The page of a cross-validation: metrics with intervals, the folds."""
    measured = [each for each in results.metrics if each.estimate["value"] is not None and each.name != "log loss"]
    bars = [(each.name, each.estimate["value"], *each.estimate["ci95"], "") for each in measured]
    warned = " ".join(f"Note: {warning}." for warning in results.warnings)
    sections = [
        Section(
            title="Metrics over the folds",
            figure=charts.intervals(bars, title="mean and 95 % interval", about_zero=False) if bars else "",
            headings=CROSSVALIDATION_HEADINGS,
            rows=crossvalidation_rows(results.metrics),
            note="Intervals: Nadeau and Bengio's corrected t, because the folds train on overlapping images. Each fold "
            "chooses its epoch on its own validation images; its stages from clean to train see only its training "
            f"images. No fold contains a test image. {warned}",
        ),
        Section(
            title="Folds",
            headings=(
                "fold",
                results.objective,
                "worst class",
                "images judged",
                "images to train on",
                "epochs",
                "seconds",
            ),
            rows=[
                [
                    name,
                    number(outcome.objective),
                    number(outcome.worst_recall),
                    str(outcome.n_judged),
                    str(outcome.n_train),
                    str(outcome.epochs),
                    number(outcome.seconds, 1),
                ]
                for name, outcome in results.folds
            ],
        ),
    ]
    return render("Cross-validation", f"{len(results.folds)} trainings, {results.objective}.", sections)
