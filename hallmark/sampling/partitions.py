"""The images of each split for all later stages: with their class, fate and position in the shards.

Removed images are in none of them. An image is training data if the sampling plan shows it at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hallmark.contracts.reasons import having
from hallmark.contracts.tables import DECISIONS, MANIFEST, PLAN, SPLIT, read_table

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pandas as pd

DOUBTED = ("outlier", "label_issue")


def training(*, ingest: Path, balance: Path) -> pd.DataFrame:
    """The real images that an epoch can show, sorted by path: ``path label shard row``."""
    plan = read_table(balance / "plan.parquet", PLAN)
    rows = plan[(plan["repeats"] > 0) & (plan["probability"] > 0)]
    stored = read_table(ingest / "manifest.parquet", MANIFEST)[["path", "shard", "row"]]
    return rows[["path", "label"]].merge(stored, on="path", validate="one_to_one")


def remaining(*, ingest: Path, split: Path, clean: Path) -> pd.DataFrame:
    """The images of every split that clean did not remove, sorted by path.

    ``path label split fate shard row sha256 group cluster representative``, then any metadata as ``meta_<name>``.
    ``label`` includes relabelling.
    """
    decisions = read_table(clean / "decisions.parquet", DECISIONS)
    manifest = read_table(ingest / "manifest.parquet", MANIFEST)
    units = read_table(split / "split.parquet", SPLIT)
    metadata = [name for name in manifest.columns if name.startswith("meta_")]
    images = decisions.loc[decisions["fate"] != "removed", ["path", "label", "split", "fate"]]
    stored, grouped = ["path", "shard", "row", "sha256"], ["path", "group", "cluster", "representative"]
    for table, columns in ((manifest, stored), (units, grouped), (manifest, ["path", *metadata])):
        images = images.merge(table[columns], on="path", validate="one_to_one")
    return images


def validation(*, ingest: Path, split: Path, clean: Path, classes: Iterable[str]) -> pd.DataFrame:
    """The validation images of these classes, with the columns of :func:`remaining`."""
    images = remaining(ingest=ingest, split=split, clean=clean)
    return images[(images["split"] == "val") & images["label"].isin(set(classes))].reset_index(drop=True)


def doubted(clean: Path) -> set[str]:
    """The paths of the images that clean holds for outliers or mislabelled, in every split."""
    decisions = read_table(clean / "decisions.parquet", DECISIONS)
    return set(decisions.loc[having(decisions["reasons"], DOUBTED), "path"].astype(str))
