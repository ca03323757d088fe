"""The page's account of the last ablation: what each step brought, with its interval, and the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hallmark.experiments.ablation import caution
from hallmark.experiments.record import inputs_digest
from hallmark.reporting import charts

if TYPE_CHECKING:
    from hallmark.reporting.inputs import Inputs


def ablation_section(inputs: Inputs) -> dict[str, Any] | None:
    """What templates/ablation.html shows, None where no ablation was run."""
    found = inputs.ablation
    if not found:
        return None
    rows = [{**each, "verdict": "changes nothing" if each["same"] else each["verdict"]} for each in found["findings"]]
    known = [
        (each["name"], each["gain"]["value"], *each["gain"]["ci95"], each["verdict"])
        for each in found["findings"]
        if each["gain"]["value"] is not None
    ]
    return {
        "objective": found["objective"],
        "n_judged": found["n_judged"],
        "seeds": len(found["seeds"]),
        "caution": caution(len(found["seeds"])),
        "rows": rows,
        "refused": found["refused"],
        "current": found["inputs"] == inputs_digest(inputs.folders),
        "figure": charts.intervals(known, title=f"{found['objective']}: with the step minus without it")
        if known
        else "",
    }
