"""The page of an experiment: one file, figures and tables in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hallmark.experiments import figures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hallmark.experiments.space import Space

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, kw_only=True)
class Section:
    """``figure`` is SVG text; ``rows`` are cells as text."""

    title: str
    figure: str = ""
    headings: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    note: str = ""


def render(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The page's HTML; whatever came from data is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("experiment.html").render(title=title, lead=lead, sections=sections)


def tuning(tuned: Any, space: Space) -> str:
    """The page of a study: its history, what decides, the values of the trials, all trials."""
    done = [row for row in tuned.rows if row.quality is not None]
    latency = any(row.latency_ms is not None for row in done)
    keys = [dimension.key for dimension in space.dimensions]
    sections = []
    if done:
        points = [(row.number, row.quality) for row in done]
        sections.append(
            Section(title="Quality of the trials", figure=figures.history(points, tuned.objective, tuned.baseline))
        )
        if latency:
            on = {row.number for row in tuned.front}
            trials = [(row.latency_ms, row.quality, row.number in on) for row in done]
            sections.append(Section(title="Quality against latency", figure=figures.front(trials, tuned.objective)))
        if tuned.importances:
            sections.append(Section(title="What decides", figure=figures.importances(tuned.importances)))
        values = [(row.values, row.quality) for row in done]
        sections.append(
            Section(title="The values of the trials", figure=figures.parallel(values, space, tuned.objective))
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
            note="Judged on the validation images, by which the epoch is chosen too: the best value is a little too "
            "high. The test set was not read.",
        )
    )
    as_it_is = "" if tuned.baseline is None else f" params.yaml as it is: {tuned.baseline:.4f}."
    best = f" Best: {tuned.front[0].quality:.4f}." if tuned.front else ""
    return render(f"Tuning: {tuned.study}", f"{len(tuned.rows)} trials, {tuned.objective}.{as_it_is}{best}", sections)


def number(value: float | None, digits: int = 4) -> str:
    """A number as text, a dash where there is none.

    >>> number(0.5), number(None)
    ('0.5000', '–')
    """
    return "–" if value is None else f"{value:.{digits}f}"
