"""The warnings of all stages, for the top of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hallmark.contracts.names import SPLITS
from hallmark.images import labels
from hallmark.images.depth import Depth
from hallmark.reporting.words import number

if TYPE_CHECKING:
    from hallmark.reporting.inputs import Inputs

SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test"}


def warnings_of(inputs: Inputs) -> list[str]:
    """One sentence per warning, most serious first."""
    warnings = [*inputs.reports["evaluate"]["warnings"], *inputs.reports["train"]["warnings"]]
    split, validate = inputs.reports["split"], inputs.reports["validate"]
    for name in SPLITS:
        classes = split["classes_without"][name]
        if classes:
            names = ", ".join(classes[:8]) + (f" and {len(classes) - 8} more" if len(classes) > 8 else "")
            warnings.append(f"The {SPLIT_NAMES[name]} set has no image of {names}.")
    warnings.extend(split["warnings"])
    leaking = split["given"]["leaking_images"] - split["given"]["moved_images"]
    if leaking:
        warnings.append(f"{leaking} images are copies of images in another given split.")
    warnings.extend(
        f"Class '{name}' was left out: it has too few usable images ({n})."
        for name, n in sorted(validate["small_classes"].items())
    )
    warnings.extend(labels.notices(validate["labels"]))
    stale = len(inputs.reports["clean"]["review"]["stale"])
    if stale:
        warnings.append(
            f"{number(stale)} of the decisions in data/review.csv no longer match their file and were ignored: decide "
            "again with hallmark review."
        )
    outside = inputs.reports["ingest"]["reasons"].get("outside_source", 0)
    if outside:
        warnings.append(
            f"{number(outside)} files were not read: a link or manifest leads outside the source. Set "
            "ingest.follow_outside to true to read them, or ingest.images to the folder that holds a manifest's images."
        )
    if words := Depth.reported(inputs.reports["ingest"]["depth"]).words():
        warnings.append(f"{words} (ingest.sample_bits).")
    unwatched = inputs.reports["ingest"].get("unwatched", 0)
    if unwatched:
        warnings.append(
            f"{unwatched} images are outside ingest.images: no run notices when they change. Set it to the folder that "
            "holds them."
        )
    dropped = [row["name"] for row in inputs.reports["augment"]["transforms"] if row["outcome"] == "warned"]
    if dropped:
        warnings.append(f"These augmentations change labels on your data and are still applied: {', '.join(dropped)}.")
    if inputs.reports["synthesize"]["decision"] == "refused":
        warnings.append("A gate refused the synthetic images; training used none of them.")
    return warnings
