"""The report section on the data: every file's fate and reasons, and the images per class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hallmark.contracts.names import FATES, SPLITS
from hallmark.contracts.reasons import REASONS, having
from hallmark.reporting import charts, galleries, words

if TYPE_CHECKING:
    import pandas as pd

    from hallmark.images.shards import Reader
    from hallmark.reporting.inputs import Inputs

MOST_CLASSES = 60
MOST_STALE = 20


def data_section(inputs: Inputs, reader: Reader, *, most: int, side: int) -> dict[str, Any]:
    """The context of templates/data.html."""
    files = inputs.files
    fates = {fate: int((files["fate"] == fate).sum()) for fate in FATES}
    assert sum(fates.values()) == len(files), "the fates in the ledger do not add up to the number of files"
    usable = files[files["fate"] != "quarantined"]
    in_play = usable[usable["fate"] != "removed"]
    splits = {split: int((in_play["split"] == split).sum()) for split in SPLITS}
    reasons = _reasons(files)
    classes = _classes(inputs)
    return {
        "n_files": len(files),
        "fates": [(fate, count, words.FATES[fate]) for fate, count in fates.items()],
        "usable": len(usable),
        "splits": splits,
        "bar": charts.shares(
            [(split, count, f"fill-{split}") for split, count in splits.items()]
            + [("removed", fates["removed"], "fill-removed"), ("quarantined", fates["quarantined"], "fill-quarantined")]
        ),
        "reasons": reasons,
        "reason_fates": [fate for fate in FATES if any(row[fate] for row in reasons)],
        "marked": {fate: int(((files["fate"] == fate) & (files["reasons"] != "")).sum()) for fate in FATES},
        "classes": classes[:MOST_CLASSES],
        "n_classes": len(classes),
        "merged": inputs.reports["validate"]["labels"]["merged"],
        "galleries": [
            (fate, words.FATES[fate], galleries.of_fate(files, fate, reader, most=most, side=side))
            for fate in ("quarantined", "removed", "relabelled", "flagged")
        ],
        "clusters": galleries.clusters(files, reader, most=12, side=side),
        "n_clusters": int(files.loc[files["cluster_size"].fillna(1) > 1, "cluster"].nunique()),
        "capture": inputs.reports["validate"]["capture"],
        "drift": inputs.reports["validate"]["drift"],
        "expectations": _expectations(inputs),
        "clean": inputs.reports["clean"],
        "review": _review(inputs),
    }


def _reasons(files: pd.DataFrame) -> list[dict[str, Any]]:
    """One row per reason that occurs: its description and its number of files by fate."""
    rows = []
    for reason in REASONS:
        carrying = files[having(files["reasons"], [reason])]
        if len(carrying):
            fates = carrying["fate"].value_counts()
            rows.append(
                {
                    "reason": reason,
                    "words": words.REASONS[reason],
                    "total": len(carrying),
                    **{fate: int(fates.get(fate, 0)) for fate in FATES},
                }
            )
    return rows


def _classes(inputs: Inputs) -> list[dict[str, Any]]:
    """Per source label: files, fates, images in each split, and images shown in an epoch."""
    files = inputs.files
    balanced = {row["label"]: row for row in inputs.reports["balance"]["classes"]}
    synthetic = inputs.synthetic["label"].value_counts()
    rows = []
    # files without a label (mostly stray ones) come last
    for label in sorted(set(files["label"]), key=lambda name: (name == "", name)):
        mine = files[files["label"] == label]
        in_play = mine[~mine["fate"].isin(["quarantined", "removed"])]
        plan = balanced.get(label)
        rows.append(
            {
                "label": label,
                "n_files": len(mine),
                **{fate: int((mine["fate"] == fate).sum()) for fate in FATES},
                **{split: int((in_play["split"] == split).sum()) for split in SPLITS},
                "per_epoch": plan["after"] if plan else None,
                "weight": plan["weight"] if plan else None,
                "synthetic": int(synthetic.get(label, 0)),
            }
        )
    return rows


def _review(inputs: Inputs) -> dict[str, Any]:
    """The human decisions: how many were applied, rescued an image, or no longer match their file."""
    files, review = inputs.files, inputs.reports["clean"]["review"]
    by_person = having(files["reasons"], ["excluded_by_review", "relabelled_by_review"])
    return {
        "decisions": review["decisions"],
        "applied": review["applied"],
        "rescued": inputs.reports["validate"]["review"]["kept"],
        "held_out": int((by_person & files["split"].isin(SPLITS[1:])).sum()),
        "of_quarantined": review["of_quarantined"],
        "stale": [{**row, "why": words.STALE[row["why"]]} for row in review["stale"][:MOST_STALE]],
        "n_stale": len(review["stale"]),
    }


def _expectations(inputs: Inputs) -> dict[str, Any]:
    """Great Expectations' outcomes: the number that passed, and each failure."""
    checked = [one for one in inputs.expectations if not one["left_out"]]
    return {
        "checked": len(checked),
        "held": sum(one["success"] for one in checked),
        "left_out": len(inputs.expectations) - len(checked),
        "suites": sorted({one["suite"] for one in checked}),
        "failed": [one for one in checked if not one["success"]],
    }
