"""The report page: one file, no network, the same bytes for the same inputs.

It carries its own digest, which reports/run.js next to it repeats to show that it belongs to this page.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from hallmark.images.shards import Reader
from hallmark.reporting import pictures
from hallmark.reporting.ablation_section import ablation_section
from hallmark.reporting.data_section import data_section
from hallmark.reporting.judgement_section import headline, judgement_section
from hallmark.reporting.lineage_section import what_ran
from hallmark.reporting.next_section import next_steps
from hallmark.reporting.templating import environment
from hallmark.reporting.training_section import training_section
from hallmark.reporting.warnings_section import warnings_of

if TYPE_CHECKING:
    from hallmark.reporting.inputs import Inputs

CONTENTS = (
    ("summary", "In short"),
    ("next", "Next"),
    ("data", "Data"),
    ("training", "Training"),
    ("ablation", "Steps"),
    ("judgement", "Test"),
    ("lineage", "Lineage"),
)


MOST_CLUSTERS = 72  # pictures of duplicate clusters
UNNAMED = "0" * 16


def render(inputs: Inputs, *, title: str, gallery: int, mistakes: int, least: int, most: int) -> str:
    """The page's HTML.

    ``gallery`` and ``mistakes`` limit the pictures of a gallery. Their longer side is at most ``most`` pixels, reduced
    for many pictures, but not below ``least``.
    """
    fates = inputs.files["fate"].value_counts()
    count = sum(min(gallery, int(fates.get(fate, 0))) for fate in ("quarantined", "removed", "relabelled", "flagged"))
    clusters = int((inputs.files["cluster_size"].fillna(1) > 1).sum())
    side = pictures.side_of(count + mistakes + min(MOST_CLUSTERS, clusters), least=least, most=most)
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
            "advice": next_steps(inputs),
            "page_id": UNNAMED,
        }
    text = environment().get_template("page.html").render(context)
    name = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    return text.replace(f'data-page="{UNNAMED}"', f'data-page="{name}"', 1)
