"""What becomes of each row of a source: its reasons, whether it is quarantined, and what a person has endorsed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hallmark.contracts.reasons import adding, having
from hallmark.quality import flags
from hallmark.quality.missing import incomplete

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd
    from numpy.typing import NDArray

    from hallmark.quality.expectations import Checked

    Mask = NDArray[np.bool_]

# what leaves no image to train on
UNUSABLE = (
    "empty_file",
    "not_an_image",
    "truncated",
    "corrupt",
    "stray_file",
    "unreadable_file",
    "outside_source",
    "decompression_bomb",
    "unsupported_format",
    "unlabelled",
)
# what no person's "keep" can undo: there is no class to keep it in
WITHOUT_CLASS = ("stray_file", "unlabelled")
# strays and files that could not be read are ingest's word
UNREAD = ("stray_file", "unreadable_file", "outside_source")


def reasons_of(table: pd.DataFrame, manifest: pd.DataFrame, *, missing: str, **limits: Any) -> pd.Series:
    """The reasons of each row: those of ingest, failures of decoding, the rules of :func:`flags.flag`, and gaps.

    ``table`` is the manifest joined with the measurements, ``missing`` the policy for missing values, ``limits`` are
    those of the rules.
    """
    marks = flags.flag(table, **limits)
    for failure in sorted(set(table["failure"]) - {""}):
        marks[failure] = (table["failure"] == failure).to_numpy()
    gaps = incomplete(manifest) & ~having(manifest["reasons"], UNUSABLE)
    marks["missing_value"] = gaps & (missing != "keep")
    marks["unlabelled"] = table["label"].isna().to_numpy() & ~having(manifest["reasons"], ["stray_file"])
    return adding(manifest["reasons"], marks)


def frames(
    table: pd.DataFrame, manifest: pd.DataFrame, reasons: pd.Series
) -> tuple[dict[str, pd.DataFrame], dict[str, int]]:
    """What suites see, by the rows they ask for, and how many rows each must have."""
    short = table[["width", "height"]].min(axis=1)
    long = table[["width", "height"]].max(axis=1)
    sides = {"short_side": short, "long_side": long, "aspect": long / short.clip(lower=1)}
    seen = table.drop(columns="sketch").assign(**sides, reasons=reasons)
    # the manifest alone says how many rows are left
    beside = having(manifest["reasons"], UNREAD)
    files = seen[~having(seen["reasons"], UNREAD)]
    images = seen[seen["width"] > 0]
    counts = {"found": len(manifest), "files": int((~beside).sum()), "images": int((table["pixel_hash"] != "").sum())}
    return {"found": seen, "files": files, "images": images}, counts


def quarantine(
    path: pd.Series, reasons: pd.Series, checked: Checked, *, chosen: Iterable[str]
) -> tuple[pd.Series, Mask]:
    """Reasons with those of the suites, and which rows are quarantined by one of them: bool [rows].

    Quarantined are rows without an image to train on, those that fail a critical expectation, and those with a reason
    of ``chosen``.
    """
    out = having(reasons, UNUSABLE)
    for (severity, reason), paths in checked.failing.items():
        rows = path.isin(paths).to_numpy()
        reasons = adding(reasons, {reason: rows})
        if severity == "critical":
            out = out | rows
    return reasons, out | having(reasons, chosen)


def endorsed(table: pd.DataFrame, decisions: pd.DataFrame) -> Mask:
    """The decodable rows that a person keeps or relabels, as their bytes are now: bool [rows]."""
    known = decisions[decisions["decision"].isin(["keep", "relabel"])].set_index("path")["content_hash"]
    current = table["path"].map(known) == table["sha256"]
    return np.asarray(current.fillna(False).to_numpy(bool) & (table["width"] > 0).to_numpy())


def stale(table: pd.DataFrame, decisions: pd.DataFrame) -> int:
    """How many decisions are about other bytes than those now at their path."""
    joined = decisions.merge(table[["path", "sha256"]], on="path", how="left")
    return int((joined["sha256"] != joined["content_hash"]).fillna(True).sum())
