"""From findings to decisions: one fate per image, reviews before detectors, removals in train only.

The fate of an image is decided in this order: review; copies; outliers and label issues. Findings in val or test, and
those of the stages validate and split, are flagged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hallmark.contracts.errors import InputError
from hallmark.contracts.reasons import add_reasons, having, join_reasons, split_reasons, without_reasons

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

COPY = ("exact_duplicate", "near_duplicate")
_OWN = {"outlier", "label_issue"}
_BY_SPLIT = {*COPY, "conflicting_duplicate", "split_leak"}


def start(split: pd.DataFrame, measurements: pd.DataFrame, review: pd.DataFrame) -> pd.DataFrame:
    """The DECISIONS table before any detector: every image kept or flagged, reviews applied.

    ``split`` and ``measurements`` are the stages' tables, ``review`` the decisions in force. Adds the working columns
    ``cluster representative decided`` (by a review). Raises InputError if a review names an unknown class.
    """
    table = split.drop(columns="reasons").copy()
    validate_reasons = dict(zip(measurements["path"], measurements["reasons"], strict=True))
    table["reasons"] = [
        join_reasons(split_reasons(validate_reasons[path]) + split_reasons(split_reason))
        for path, split_reason in zip(split["path"], split["reasons"], strict=True)
    ]
    table["found_label"] = table["label"]
    table["weight"] = 1.0
    table["outlier_score"] = np.nan
    table["label_quality"] = np.nan
    table["suggested_label"] = pd.array([pd.NA] * len(table), dtype="string")
    table["fate"] = np.where(table["reasons"] != "", "flagged", "kept")
    review = review[review["path"].isin(table["path"])]
    decision = table["path"].map(dict(zip(review["path"], review["decision"], strict=True)))
    table["decided"] = decision.notna()
    keep, drop, relabel = (decision.eq(word).fillna(False).to_numpy(bool) for word in ("keep", "drop", "relabel"))
    unknown = review[(review["decision"] == "relabel") & ~review["label"].isin(table["found_label"])]
    if len(unknown):
        listed = ", ".join(f"'{row.label}' ({row.path})" for row in unknown.itertuples())
        raise InputError(
            f"data/review.csv relabels to classes that the usable images lack: {listed}",
            remedy=f"use one of: {', '.join(sorted(set(table['found_label'])))}",
        )
    table.loc[keep, "fate"] = "kept"
    table.loc[keep, "reasons"] = ""
    table.loc[drop, "fate"] = "removed"
    table.loc[relabel, "fate"] = "relabelled"
    table.loc[relabel, "label"] = table.loc[relabel, "path"].map(
        dict(zip(review["path"], review["label"], strict=True))
    )
    add(table, drop, "excluded_by_review")
    add(table, relabel, "relabelled_by_review")
    return table


def open_in_train(table: pd.DataFrame) -> Mask:
    """Training images without a review decision that are not removed."""
    return ((table["split"] == "train") & ~table["decided"] & (table["fate"] != "removed")).to_numpy(bool)


def remove_copies(table: pd.DataFrame) -> Mask:
    """Removes copies from train if a representative remains; returns the removed rows.

    If a review dropped the representative or kept another member, the survivor is the reviewed member or the next copy,
    which loses its reason. :func:`settle_conflicts` handles clusters with conflicting labels.
    """
    conflicting = having(table["reasons"], ["conflicting_duplicate"])
    copy = having(table["reasons"], COPY) & ~conflicting
    standing = table["representative"] & (table["fate"] != "removed")
    standing |= table["decided"] & (table["fate"] != "removed")
    has_survivor = standing.groupby(table["cluster"]).transform("any").to_numpy(bool)
    candidates = copy & open_in_train(table)
    heirs = table[candidates & ~has_survivor].groupby("cluster")["path"].min()
    heir = table["path"].isin(heirs).to_numpy(bool)
    table.loc[heir, "reasons"] = [without_reasons(text, *COPY) for text in table.loc[heir, "reasons"]]
    table.loc[heir, "fate"] = table.loc[heir, "reasons"].map(lambda text: "flagged" if text else "kept")
    removed = candidates & ~heir
    table.loc[removed, "fate"] = "removed"
    return np.asarray(removed, bool)


def settle_conflicts(table: pd.DataFrame, label: NDArray[np.int64], probabilities: NDArray[np.float64] | None) -> Mask:
    """Keeps (flagged) the image of a conflicting training cluster whose label the classifier predicts; returns the
    removed rows.

    Removes all members without probabilities ``[images, classes]`` or if the classifier predicts none of the labels.
    If a review keeps a member, the others are removed.
    """
    candidates = having(table["reasons"], ["conflicting_duplicate"]) & open_in_train(table)
    by_person = (table["decided"] & (table["fate"] != "removed")).groupby(table["cluster"]).transform("any").to_numpy()
    removed = candidates.copy()
    if probabilities is not None:
        # no copy of a held-out image may stay in train
        apart = (table["split"] != "train").groupby(table["cluster"]).transform("any").to_numpy(bool)
        right = candidates & ~by_person & ~apart & (probabilities.argmax(axis=1) == label)
        first = table[right].sort_values(["representative", "path"], ascending=[False, True])
        survivors = first.drop_duplicates("cluster")["path"]
        removed &= ~table["path"].isin(survivors).to_numpy(bool)
    table.loc[removed, "fate"] = "removed"
    return removed


def act(table: pd.DataFrame, flagged: Mask, reason: str, *, removable: Mask, action: str, weight: float) -> None:
    """Applies ``action`` to the images that a detector flagged.

    remove, relabel (to ``suggested_label``) and downweight apply to training images in ``removable``; all others are
    only flagged. Reviewed and removed images do not change.
    """
    flagged = flagged & ~table["decided"].to_numpy(bool) & (table["fate"] != "removed").to_numpy(bool)
    add(table, flagged, reason)
    table.loc[flagged & (table["fate"] == "kept").to_numpy(bool), "fate"] = "flagged"
    chosen = flagged & removable & open_in_train(table)
    match action:
        case "remove":
            table.loc[chosen, "fate"] = "removed"
        case "relabel":
            table.loc[chosen, "fate"] = "relabelled"
            table.loc[chosen, "label"] = table.loc[chosen, "suggested_label"]
        case "downweight":
            table.loc[chosen, "weight"] = weight
        case _:
            assert action == "flag", action


def within_share(candidates: Mask, score: NDArray[np.float64], label: pd.Series, pool: Mask, share: float) -> Mask:
    """The candidates with the highest scores, at most ``share`` of each class's ``pool``."""
    table = pd.DataFrame({"label": label.to_numpy(object), "score": score, "row": np.arange(len(score))})
    allowed = table[pool].groupby("label").size().mul(share).floordiv(1)
    ranked = table[candidates].sort_values(["score", "row"], ascending=[False, True])
    # without candidates the column has dtype text, which does not compare with numbers
    limit = ranked["label"].map(allowed).fillna(0).astype(float)
    ranked = ranked[ranked.groupby("label").cumcount() < limit]
    out = np.zeros(len(score), bool)
    out[ranked["row"]] = True
    return out


def name_stages(table: pd.DataFrame) -> None:
    """Sets ``stage``: clean if a review, detector or removal decided, else the first stage that flagged."""
    table["stage"] = [
        _stage(fate, set(split_reasons(reasons))) for fate, reasons in zip(table["fate"], table["reasons"], strict=True)
    ]


def add(table: pd.DataFrame, rows: Mask, reason: str) -> None:
    """Adds a reason to some rows."""
    table.loc[rows, "reasons"] = [add_reasons(reasons, reason) for reasons in table.loc[rows, "reasons"]]


def suspects(table: pd.DataFrame, *, most: int) -> list[dict[str, Any]]:
    """The worst findings for review: half outliers, half label issues."""
    rows = []
    for reason, column, ascending in (("outlier", "outlier_score", False), ("label_issue", "label_quality", True)):
        flagged = table[having(table["reasons"], [reason])]
        for row in flagged.sort_values([column, "path"], ascending=[ascending, True]).head(most // 2).itertuples():
            suggested = row.suggested_label
            rows.append(
                {
                    "path": row.path,
                    "reason": reason,
                    "split": row.split,
                    "fate": row.fate,
                    "label": row.found_label,
                    "suggested_label": suggested if isinstance(suggested, str) else None,
                    "score": float(getattr(row, column)),
                }
            )
    return rows


def _stage(fate: str, reasons: set[str]) -> str:
    if fate == "kept":
        return ""
    if fate in ("removed", "relabelled"):
        return "clean"
    if reasons - _OWN - _BY_SPLIT:
        return "validate"
    return "split" if reasons & _BY_SPLIT else "clean"
