"""The images to review, worst first, from the tables of the stages.

A suspect is an image with a finding, whatever its fate, or with an earlier human decision, if it can be shown and a
decision can change something. Its severity is the harm of the finding if true (1 for a wrong label in training, 0.1 for
a redundant copy) times its certainty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hallmark.contracts import tables
from hallmark.contracts.errors import InputError
from hallmark.contracts.reasons import has_reason, having, split_reasons
from hallmark.images.decoding import REASONS as UNDECODABLE
from hallmark.quality import ledger as books

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hallmark.reviewing.journal import Decision

#: The kinds of suspects and their names on the page.
KINDS = {
    "stale": "changed since your decision",
    "conflict": "copies with different labels",
    "label": "labels that look wrong",
    "outlier": "outliers",
    "quarantined": "quarantined",
    "flag": "doubtful pictures",
    "copy": "copies",
    "decided": "decided before",
}
# a decision changes nothing: there is no picture or no class, or the whole class is left out
_UNDECIDABLE = {*UNDECODABLE, "stray_file", "unreadable_file", "outside_source", "unlabelled", "class_too_small"}
_BY_PERSON = {"excluded_by_review", "relabelled_by_review"}


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """One image. ``reasons``: the ledger's; ``copies``: paths of the other members of its duplicate cluster."""

    path: str
    content_hash: str
    kind: str
    severity: float
    label: str
    used_label: str
    suggested_label: str
    split: str
    fate: str
    reasons: str
    size: tuple[int, int]
    label_quality: float | None
    outlier_score: float | None
    copies: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Findings:
    """``files``: one row per source file, indexed by path. ``refused``: a gate refused the set, only its ledger exists.
    ``gone``: paths with a decision that are no longer in the source."""

    files: pd.DataFrame
    suspects: tuple[Suspect, ...]
    classes: tuple[str, ...]
    refused: bool
    gone: tuple[str, ...]


def table_paths(root: Path) -> dict[str, Path]:
    """The tables to read, by stage; ``refused`` exists only while validate refuses the set."""
    return {
        "ingest": root / "data" / "ingest" / "manifest.parquet",
        "validate": root / "data" / "validate" / "measurements.parquet",
        "split": root / "data" / "split" / "split.parquet",
        "clean": root / "data" / "clean" / "decisions.parquet",
        "refused": root / ".hallmark" / "refusals" / "validate" / "ledger.csv",
    }


def load(root: Path, decisions: Mapping[str, Decision]) -> Findings:
    """Reads the workspace. Raises InputError if the stages up to clean have not run."""
    paths = table_paths(root)
    refused = paths["refused"].exists()
    needed = ("ingest",) if refused else ("ingest", "validate", "split", "clean")
    missing = [name for name in needed if not paths[name].exists()]
    if missing:
        raise InputError(
            f"there is nothing to review yet: no output of {', '.join(missing)} in {root}",
            remedy="run `hallmark run` first",
        )
    files = _refused_files(paths) if refused else _files(paths)
    labels = files[~files["quarantined"]]["label"] if not refused else files["label"]
    return Findings(
        files=files,
        suspects=_suspects(files, decisions),
        classes=tuple(sorted({label for label in labels if label})),
        refused=refused,
        gone=tuple(sorted(set(decisions) - set(files.index))),
    )


def _files(paths: Mapping[str, Path]) -> pd.DataFrame:
    manifest = tables.read_table(paths["ingest"], tables.MANIFEST)[["path", "label", "sha256", "shard", "row"]]
    measured = tables.read_table(paths["validate"], tables.MEASUREMENTS)
    split = tables.read_table(paths["split"], tables.SPLIT)[["path", "cluster"]]
    clean = tables.read_table(paths["clean"], tables.DECISIONS).rename(columns={"label": "used_label"})
    files = manifest.merge(measured[["path", "width", "height", "quarantined", "reasons"]], on="path")
    files = files.merge(split, on="path", how="left").rename(columns={"reasons": "measured_reasons"})
    files = files.merge(clean.drop(columns=["found_label", "stage", "weight"]), on="path", how="left")
    # clean decides on all images but the quarantined
    files["reasons"] = files["reasons"].fillna(files["measured_reasons"])
    files["fate"] = files["fate"].fillna("quarantined")
    return _filled(files)


def _refused_files(paths: Mapping[str, Path]) -> pd.DataFrame:
    manifest = tables.read_table(paths["ingest"], tables.MANIFEST)[["path", "label", "sha256", "shard", "row"]]
    book = books.read(paths["refused"])[["path", "split", "fate", "reasons"]]
    files = manifest.merge(book, on="path")
    unreadable = having(files["reasons"], _UNDECIDABLE - {"class_too_small"})
    # sizes are unknown: 1 marks an image that can be shown
    side = np.where(unreadable, 0, 1)
    return _filled(
        files.assign(
            width=side,
            height=side,
            quarantined=(files["fate"] == "quarantined").to_numpy(bool),
            cluster="",
            used_label="",
            suggested_label="",
            outlier_score=np.nan,
            label_quality=np.nan,
        )
    )


def _filled(files: pd.DataFrame) -> pd.DataFrame:
    for name in ("label", "used_label", "suggested_label", "split", "cluster"):
        files[name] = files[name].astype("string").fillna("")
    return files.set_index("path").sort_index()


def _suspects(files: pd.DataFrame, decisions: Mapping[str, Decision]) -> tuple[Suspect, ...]:
    decidable = (files["width"] > 0) & (files["label"] != "")
    candidates = files[decidable & ((files["reasons"] != "") | files.index.isin(list(decisions)))]
    clusters = files[files["cluster"] != ""].groupby("cluster").groups
    rows: list[dict[Any, Any]] = candidates.to_dict("records")
    limit = min((row["outlier_score"] for row in rows if has_reason(row["reasons"], "outlier")), default=1.0)
    ranked = []
    for path, row in zip(candidates.index, rows, strict=True):
        kind, severity = _rank(row, limit)
        decision = decisions.get(str(path))
        if decision is not None and decision.content_hash != row["sha256"]:
            kind, severity = "stale", 2.0
        elif not kind and decision is not None:
            kind, severity = "decided", 0.0
        if kind:
            ranked.append(_suspect(str(path), row, kind, severity, clusters))
    cluster = files["cluster"]
    return tuple(sorted(ranked, key=lambda one: (-one.severity, cluster[one.path], one.path)))


def _rank(row: Mapping[Any, Any], limit: float) -> tuple[str, float]:
    """The kind and severity of the worst finding; an empty kind if no decision can change anything."""
    reasons = set(split_reasons(row["reasons"]))
    if reasons & _UNDECIDABLE:
        return "", 0.0
    ranks = [("", 0.0)]
    if "conflicting_duplicate" in reasons:
        ranks.append(("conflict", 1.0))
    if "label_issue" in reasons:
        ranks.append(("label", 1.0 - row["label_quality"]))
    if "outlier" in reasons:
        # certainty 0.5 at the limit
        ranks.append(("outlier", 0.8 * (1.0 - 0.5 * limit / row["outlier_score"])))
    if row["quarantined"]:
        ranks.append(("quarantined", 0.35))
    if "near_duplicate" in reasons:
        ranks.append(("copy", 0.2))
    if "exact_duplicate" in reasons:
        ranks.append(("copy", 0.1))
    if reasons - _BY_PERSON and len(ranks) == 1:
        ranks.append(("flag", 0.3))
    return max(ranks, key=lambda one: one[1])


def _suspect(path: str, row: Mapping[Any, Any], kind: str, severity: float, clusters: Mapping[Any, Any]) -> Suspect:
    quality, score = row["label_quality"], row["outlier_score"]
    # for an image of something else, the classifier's best class means nothing
    suggests = kind in ("conflict", "label") and row["suggested_label"] != row["label"]
    return Suspect(
        path=path,
        content_hash=row["sha256"],
        kind=kind,
        severity=round(float(severity), 6),
        label=row["label"],
        used_label=row["used_label"],
        suggested_label=row["suggested_label"] if suggests else "",
        split=row["split"],
        fate=row["fate"],
        reasons=row["reasons"],
        size=(int(row["width"]), int(row["height"])),
        label_quality=None if pd.isna(quality) else float(quality),
        outlier_score=None if pd.isna(score) else float(score),
        copies=tuple(str(other) for other in clusters.get(row["cluster"], ()) if other != path),
    )
