"""What any stage warned of, gathered where the reader begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hallmark.contracts.names import SPLITS
from hallmark.images import labels
from hallmark.images.depth import Depth
from hallmark.reporting.words import number

if TYPE_CHECKING:
    from hallmark.reporting.inputs import Inputs

PLACES = {"train": "training", "val": "validation", "test": "the test"}


def warnings_of(inputs: Inputs) -> list[str]:
    """Lines in words, the most serious first."""
    said = [*inputs.reports["evaluate"]["warnings"], *inputs.reports["train"]["warnings"]]
    split, validate = inputs.reports["split"], inputs.reports["validate"]
    for name in SPLITS:
        classes = split["classes_without"][name]
        if classes:
            shown = ", ".join(classes[:8]) + (f" and {len(classes) - 8} more" if len(classes) > 8 else "")
            said.append(f"No image of {shown} is in {PLACES[name]}.")
    leaking = split["given"]["leaking_images"] - split["given"]["moved_images"]
    if leaking:
        said.append(f"{leaking} images are copies of images in another of the splits that were given.")
    said.extend(
        f"The class '{name}' was left out whole: it has {n} usable images, too few to learn from."
        for name, n in sorted(validate["small_classes"].items())
    )
    said.extend(labels.notices(validate["labels"]))
    stale = len(inputs.reports["clean"]["review"]["stale"])
    if stale:
        said.append(
            f"{number(stale)} of the decisions in data/review.csv no longer fit their file and were left aside: decide "
            "again with hallmark review."
        )
    outside = inputs.reports["ingest"]["reasons"].get("outside_source", 0)
    if outside:
        said.append(
            f"{number(outside)} files were not read: a link or manifest leads to them outside the source. Set "
            "ingest.follow_outside to true to read them, or ingest.images to the folder that holds a manifest's images."
        )
    if words := Depth.reported(inputs.reports["ingest"]["depth"]).words():
        said.append(f"{words} (ingest.sample_bits).")
    unwatched = inputs.reports["ingest"].get("unwatched", 0)
    if unwatched:
        said.append(
            f"{unwatched} images lie outside ingest.images: when one of them changes, no run notices. Set it to the "
            "folder that holds them."
        )
    dropped = [row["name"] for row in inputs.reports["augment"]["transforms"] if row["outcome"] == "warned"]
    if dropped:
        said.append(f"These augmentations change labels on your data and are still applied: {', '.join(dropped)}.")
    if inputs.reports["synthesize"]["decision"] == "refused":
        said.append("Synthetic images were made and refused by a gate; training used none of them.")
    return said
