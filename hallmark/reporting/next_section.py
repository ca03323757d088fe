"""Advice from every rule, for the page and for reports/report.json."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hallmark.experiments.record import inputs_digest
from hallmark.reporting import data_advice, model_advice
from hallmark.reporting.advice import Advice, Json, ordered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hallmark.reporting.inputs import Inputs

RULES = (
    model_advice.weak_model,
    data_advice.class_left_out,
    model_advice.more_images,
    data_advice.review_labels,
    model_advice.pretrained,
    model_advice.confusion,
    data_advice.weak_slice,
    model_advice.crossvalidation,
    data_advice.quarantined,
    data_advice.stale_decisions,
)


def next_steps(inputs: Inputs) -> list[Advice]:
    """All advice, most useful first."""
    current = bool(inputs.ablation) and inputs.ablation["inputs"] == inputs_digest(inputs.folders)
    return advise(inputs.reports, inputs.ablation, current=current)


def advise(reports: Mapping[str, Json], ablation: Json, *, current: bool) -> list[Advice]:
    """The advice of all rules. ``ablation`` may be empty; ``current``: it used these data and plans."""
    gathered = [advice for rule in RULES for advice in rule(reports)]
    gathered += model_advice.steps(reports, ablation, current=current)
    gathered += data_advice.imbalance(reports, ablation, current=current)
    return ordered(gathered)
