"""The report's inputs, read once: tables keyed by path, the reports of all stages, and image locations."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from hallmark.contracts import tables
from hallmark.experiments import record

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """``files``: one row per source file with the ledger's columns and, if any, shard, row, cluster and scores."""

    folders: Mapping[str, Path]
    plots: Path
    reports: Mapping[str, Json]
    model: Json
    plan: Json
    expectations: list[Json]
    files: pd.DataFrame
    predictions: pd.DataFrame
    calibration: pd.DataFrame
    history: pd.DataFrame
    audit: pd.DataFrame
    synthetic: pd.DataFrame
    ablation: Json


def load(folders: Mapping[str, Path], ledger: Path, reports: Path, ablation: Path) -> Inputs:
    """Reads the folders (by stage), the ledger, the reports of all stages but ``report``, and the last ablation."""
    manifest = tables.read_table(folders["ingest"] / "manifest.parquet", tables.MANIFEST)
    split = tables.read_table(folders["split"] / "split.parquet", tables.SPLIT)
    decisions = tables.read_table(folders["clean"] / "decisions.parquet", tables.DECISIONS)
    files = pd.read_csv(ledger, dtype="string", keep_default_na=False)
    assert set(files["path"]) == set(manifest["path"]), "the ledger must have one row per file found"
    files = files.merge(manifest[["path", "shard", "row"]], on="path", how="left", validate="one_to_one")
    files = files.merge(split[["path", "cluster", "cluster_size", "representative"]], on="path", how="left")
    renamed = decisions.rename(columns={"label": "used_label"})
    files = files.merge(
        renamed[["path", "used_label", "outlier_score", "label_quality", "suggested_label"]], on="path", how="left"
    )
    return Inputs(
        folders=folders,
        plots=reports / "plots",
        reports={name: _json(reports / f"{name}.json") for name in folders},
        model=_json(folders["train"] / "model.json"),
        plan=_json(folders["balance"] / "plan.json"),
        expectations=_json(folders["validate"] / "expectations.json"),
        files=files.sort_values("path", ignore_index=True),
        predictions=pd.read_parquet(folders["evaluate"] / "predictions.parquet"),
        calibration=pd.read_parquet(folders["evaluate"] / "calibration.parquet"),
        history=pd.read_parquet(folders["train"] / "history.parquet"),
        audit=pd.read_parquet(folders["augment"] / "audit.parquet"),
        synthetic=tables.read_table(folders["synthesize"] / "manifest.parquet", tables.SYNTHETIC),
        ablation=record.read(ablation),
    )


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
