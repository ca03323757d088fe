"""The images of a cross-validation: which are judged, by which label, and which may be trained on.

Cleaning must not make the estimate look better. So images that clean removed from train as outliers or label errors are
judged, with the label they came with; and in val and test, where clean removes nothing, images flagged as such are
judged but not trained on, as they would not be in train. What a person decided counts in every split.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hallmark.contracts.reasons import having
from hallmark.contracts.tables import DECISIONS, MANIFEST, SPLIT, read_table
from hallmark.sampling import partitions
from hallmark.splitting.units import find_units

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from hallmark.sampling.plan import Plan

PERSON, EXCLUDED = "relabelled_by_review", "excluded_by_review"


def read(plan: Plan, *, ingest: Path, split: Path, clean: Path) -> pd.DataFrame:
    """``path label truth trained split cluster representative unit shard row sha256``, sorted by path.

    ``label`` is the one to train on, ``truth`` the one to judge by; ``trained`` says whether the image may be trained
    on; ``unit`` numbers the units (groups and duplicate clusters).
    """
    decisions = read_table(clean / "decisions.parquet", DECISIONS)
    divided = read_table(split / "split.parquet", SPLIT)[["path", "group", "cluster", "representative"]]
    stored = read_table(ingest / "manifest.parquet", MANIFEST)[["path", "shard", "row", "sha256"]]
    judged = decisions[~having(decisions["reasons"], [EXCLUDED])]
    judged = judged.merge(divided, on="path", validate="1:1").merge(stored, on="path", validate="1:1")
    by_person = having(judged["reasons"], [PERSON])
    doubted = having(judged["reasons"], partitions.DOUBTED)
    shown = plan.table.loc[(plan.table["repeats"] > 0) & (plan.table["probability"] > 0), "path"]
    in_train = judged["split"] == "train"
    elsewhere = ~in_train & (judged["fate"] != "removed") & ~doubted & judged["representative"].astype(bool)
    unit, _ = find_units(cluster=judged["cluster"], group=judged["group"], content=judged["path"], seed=0)
    pool = judged.assign(
        truth=judged["label"].where(by_person, judged["found_label"]).astype(str),
        label=judged["label"].astype(str),
        trained=(in_train & judged["path"].isin(set(shown))) | elsewhere,
        unit=unit,
    )
    columns = ["path", "label", "truth", "trained", "split", "cluster", "representative", "unit"]
    return pool[[*columns, "shard", "row", "sha256"]].sort_values("path", ignore_index=True)


def units(pool: pd.DataFrame) -> dict[str, int]:
    """The number of units of each class."""
    counts = pool.groupby("truth")["unit"].nunique()
    return {str(name): int(count) for name, count in counts.items()}


def validation_share(pool: pd.DataFrame) -> float:
    """The validation images' share of those that are not test."""
    counts = pool["split"].value_counts()
    val, train = int(counts.get("val", 0)), int(counts.get("train", 0))
    return val / max(val + train, 1)
