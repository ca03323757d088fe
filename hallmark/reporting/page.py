"""The page a person reads: one file, no network, no script, the same bytes for the same inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hallmark.images.shards import Reader
from hallmark.reporting.ablation_section import ablation_section
from hallmark.reporting.data_section import data_section
from hallmark.reporting.judgement_section import headline, judgement_section
from hallmark.reporting.lineage_section import what_ran
from hallmark.reporting.templating import environment
from hallmark.reporting.training_section import training_section
from hallmark.reporting.warnings_section import warnings_of

if TYPE_CHECKING:
    from hallmark.reporting.inputs import Inputs

CONTENTS = (
    ("summary", "In short"),
    ("data", "Data"),
    ("training", "Training"),
    ("ablation", "Steps"),
    ("judgement", "Test"),
    ("lineage", "Lineage"),
)


def render(inputs: Inputs, *, title: str, gallery: int, mistakes: int, side: int) -> str:
    """The page. ``gallery`` and ``mistakes`` are how many pictures a gallery shows, ``side`` their side in pixels."""
    with Reader(inputs.folders["ingest"]) as reader:
        context: dict[str, Any] = {
            "title": title,
            "head": headline(inputs),
            "contents": CONTENTS,
            "data": data_section(inputs, reader, most=gallery, side=side),
            "training": training_section(inputs),
            "ablation": ablation_section(inputs),
            "judgement": judgement_section(inputs, reader, most=mistakes, side=side),
            "ran": what_ran(inputs),
            "source_digest": inputs.reports["ingest"]["digest"],
            "lineage": inputs.reports["register"]["lineage"],
            "warnings": warnings_of(inputs),
        }
    return environment().get_template("page.html").render(context)
