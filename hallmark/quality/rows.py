"""The outcome of each source row: its reasons, quarantine, and endorsement by a review."""

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

# reasons that leave no image to train on
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
# reasons that a review's "keep" cannot override: there is no class to keep the file in
WITHOUT_CLASS = ("stray_file", "unlabelled")
# reasons set by ingest: stray and unread files
UNREAD = ("stray_file", "unreadable_file", "outside_source")


def reasons_of(table: pd.DataFrame, manifest: pd.DataFrame, *, missing: str, **limits: Any) -> pd.Series:
    """The reasons of each row: those of ingest, failures of decoding, the rules of :func:`flags.flag`, and gaps.

    ``table`` is the manifest joined with the measurements, ``missing`` the policy for missing values, ``limits`` the
    rules' limits.
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
    """The tables for suites, by their ``rows`` key, and the number of rows that each must have."""
    short = table[["width", "height"]].min(axis=1)
    long = table[["width", "height"]].max(axis=1)
    sides = {"short_side": short, "long_side": long, "aspect": long / short.clip(lower=1)}
    rows = table.drop(columns="sketch").assign(**sides, reasons=reasons)
    # counted from the manifest, independently of the table
    beside = having(manifest["reasons"], UNREAD)
    files = rows[~having(rows["reasons"], UNREAD)]
    images = rows[rows["width"] > 0]
    counts = {"found": len(manifest), "files": int((~beside).sum()), "images": int((table["pixel_hash"] != "").sum())}
    return {"found": rows, "files": files, "images": images}, counts


def quarantine(
    path: pd.Series, reasons: pd.Series, checked: Checked, *, chosen: Iterable[str]
) -> tuple[pd.Series, Mask]:
    """The reasons including those of the suites, and the quarantined rows: bool [rows].

    A row is quarantined without an image to train on, if it fails a critical expectation, or with a reason of
    ``chosen``.
    """
    out = having(reasons, UNUSABLE)
    for (severity, reason), paths in checked.failing.items():
        rows = path.isin(paths).to_numpy()
        reasons = adding(reasons, {reason: rows})
        if severity == "critical":
            out = out | rows
    return reasons, out | having(reasons, chosen)


def endorsed(table: pd.DataFrame, decisions: pd.DataFrame) -> Mask:
    """The decodable rows that a review keeps or relabels with their current bytes: bool [rows]."""
    hashes = decisions[decisions["decision"].isin(["keep", "relabel"])].set_index("path")["content_hash"]
    current = table["path"].map(hashes) == table["sha256"]
    return np.asarray(current.fillna(False).to_numpy(bool) & (table["width"] > 0).to_numpy())


def stale(table: pd.DataFrame, decisions: pd.DataFrame) -> int:
    """The number of decisions about bytes that differ from the current ones."""
    joined = decisions.merge(table[["path", "sha256"]], on="path", how="left")
    return int((joined["sha256"] != joined["content_hash"]).fillna(True).sum())
