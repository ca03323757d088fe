"""The ledger: one row per source file, with exactly one fate and all its reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from hallmark.contracts.names import FATES, SPLITS
from hallmark.contracts.reasons import counts, having, join_reasons, split_reasons
from hallmark.contracts.tables import LEDGER, conform

if TYPE_CHECKING:
    from pathlib import Path


def build(manifest: pd.DataFrame, measurements: pd.DataFrame, decisions: pd.DataFrame) -> pd.DataFrame:
    """The ledger of a source, in the columns of ``LEDGER``.

    ``decisions`` has one row per measured image that is not quarantined. The split is the decided one, for quarantined
    images the source's.

    Raises AssertionError if a file has no fate or two, which is a bug.
    """
    rows = manifest[["path", "label", "group"]].copy()
    rows["given"] = manifest["given_split"].fillna("")
    rows["found_by_ingest"] = manifest["reasons"]
    measured = measurements[["path", "quarantined", "reasons"]]
    rows = rows.merge(measured, on="path", how="left", validate="one_to_one")
    assert rows["quarantined"].notna().all(), "a file of the manifest was not measured"
    out = rows["quarantined"].astype(bool)
    rows["reasons"] = [
        join_reasons(split_reasons(first) + split_reasons(second))
        for first, second in zip(rows["found_by_ingest"], rows["reasons"], strict=True)
    ]
    decided = set(decisions["path"])
    assert decided == set(rows.loc[~out, "path"]), "the decisions are not those of the images left"
    chosen = decisions.set_index("path")[["split", "fate", "stage", "reasons"]]
    rows = rows.drop(columns="reasons").join(chosen, on="path").assign(seen=rows["reasons"])
    rows["reasons"] = rows["reasons"].where(~out, rows["seen"])
    rows.loc[out, "split"] = rows.loc[out, "given"]
    rows.loc[out, "fate"] = "quarantined"
    early = rows["found_by_ingest"] != ""
    rows.loc[out, "stage"] = early[out].map({True: "ingest", False: "validate"})
    ledger = conform(rows[list(LEDGER)].fillna(""), LEDGER)
    reconcile(ledger, found=len(manifest))
    return ledger


def reconcile(ledger: pd.DataFrame, *, found: int) -> dict[str, int]:
    """Files per fate; asserts that they sum to ``found`` and that all words are in the closed lists."""
    per_fate = {fate: int((ledger["fate"] == fate).sum()) for fate in FATES}
    assert sum(per_fate.values()) == found == len(ledger), f"{found} files found, fates {per_fate}"
    assert ledger["path"].is_unique, "a path has two fates"
    assert set(ledger["split"]) <= {*SPLITS, ""}, "an unknown split"
    is_kept = ledger["fate"] == "kept"
    assert ((ledger["stage"] == "") == is_kept).all(), "the deciding stage is named exactly where something was decided"
    assert ((ledger["reasons"] == "") == is_kept).all(), "reasons are given exactly where something was decided"
    for reasons in ledger["reasons"].unique():
        join_reasons(split_reasons(reasons))
    return per_fate


def fates_by(ledger: pd.DataFrame, column: str) -> dict[str, dict[str, int]]:
    """Files per value of a column and fate."""
    return {
        str(value): {fate: int((rows["fate"] == fate).sum()) for fate in FATES}
        for value, rows in ledger.groupby(column)
    }


def fates_by_reason(ledger: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Files per reason and fate; a file counts with each of its reasons."""
    reasons, fate = ledger["reasons"], ledger["fate"]
    fates = {reason: fate[having(reasons, [reason])] for reason in sorted(counts(reasons))}
    return {reason: {name: int((rows == name).sum()) for name in FATES} for reason, rows in fates.items()}


def write(ledger: pd.DataFrame, path: Path) -> None:
    """Writes CSV: UTF-8, ``\\n`` line ends, a header."""
    ledger.to_csv(path, index=False, encoding="utf-8", lineterminator="\n")


def read(path: Path) -> pd.DataFrame:
    """Reads the CSV of :func:`write`: all columns text, empty if unknown."""
    frame = pd.read_csv(path, dtype="string", keep_default_na=False, encoding="utf-8")
    return conform(frame, LEDGER)
