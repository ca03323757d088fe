"""The report section on the last ablation: each step's gain with its interval, and the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hallmark.experiments.ablation import caution
from hallmark.experiments.record import inputs_digest
from hallmark.reporting import charts

if TYPE_CHECKING:
    from hallmark.reporting.inputs import Inputs


def ablation_section(inputs: Inputs) -> dict[str, Any] | None:
    """The context of templates/ablation.html; None if no ablation was run."""
    ablation = inputs.ablation
    if not ablation:
        return None
    rows = [
        {**each, "verdict": "changes nothing" if each["same"] else each["verdict"]} for each in ablation["findings"]
    ]
    intervals = [
        (each["name"], each["gain"]["value"], *each["gain"]["ci95"], each["verdict"])
        for each in ablation["findings"]
        if each["gain"]["value"] is not None
    ]
    return {
        "objective": ablation["objective"],
        "n_judged": ablation["n_judged"],
        "seeds": len(ablation["seeds"]),
        "caution": caution(len(ablation["seeds"])),
        "rows": rows,
        "refused": ablation["refused"],
        "current": ablation["inputs"] == inputs_digest(inputs.folders),
        "figure": charts.intervals(intervals, title=f"{ablation['objective']}: with the step minus without it")
        if intervals
        else "",
    }
