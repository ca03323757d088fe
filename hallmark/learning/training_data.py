"""The data of a training: the images of the sampling plan, synthetic ones, and the validation images."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hallmark.contracts.errors import GateRefused
from hallmark.contracts.tables import DECISIONS, MANIFEST, SPLIT, SYNTHETIC, one_of_each_cluster, read_table
from hallmark.images.shards import Reader
from hallmark.learning.pixels import Item
from hallmark.sampling import plan as planning

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from hallmark.sampling.plan import Plan


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingData:
    """``plan`` has a row per training image, real ones first, then synthetic ones, as have ``train_items``.

    Synthetic images of no weight are left out. ``val_items`` and ``val_labels`` hold one image of each duplicate
    cluster. ``files`` are the tables all this follows from. ``class_priors`` of the plan are those of the real and the
    synthetic images together.
    """

    classes: list[str]
    plan: Plan
    n_real: int
    n_synthetic: int
    train_items: list[Item]
    val_items: list[Item]
    val_labels: list[str]
    files: list[Path]
    warnings: list[str]

    @property
    def images_per_epoch(self) -> int:
        """Images an epoch shows."""
        return int(self.plan.table["repeats"].sum())

    def indices(self, labels: Iterable[str]) -> NDArray[np.int64]:
        """The labels as positions in ``classes``."""
        index = {label: number for number, label in enumerate(self.classes)}
        return np.array([index[label] for label in labels], dtype=np.int64)


def read(
    *, ingest: Path, split: Path, clean: Path, balance: Path, synthesize: Path, synthetic_weight: float
) -> TrainingData:
    """The sets as the stages before left them. Raises GateRefused where fewer than two classes are left to learn."""
    manifest = read_table(ingest / "manifest.parquet", MANIFEST).set_index("path")
    decisions = read_table(clean / "decisions.parquet", DECISIONS)
    clusters = read_table(split / "split.parquet", SPLIT)[["path", "cluster", "representative"]]
    synthetic = read_table(synthesize / "manifest.parquet", SYNTHETIC)
    if synthetic_weight == 0:
        synthetic = synthetic.iloc[:0]
    plan = planning.read(balance)
    classes = sorted(plan.table["label"].astype(str).unique())
    if len(classes) < 2:
        raise GateRefused(
            f"only {len(classes)} class is left to train on",
            remedy="add images of a second class, or loosen what clean removes",
        )

    def items(paths: Sequence[str]) -> list[Item]:
        rows = manifest.loc[list(paths), ["shard", "row", "sha256"]]
        triples = zip(paths, rows["shard"], rows["row"], rows["sha256"], strict=True)
        return [Item(ingest, int(shard), int(row), str(digest), path) for path, shard, row, digest in triples]

    made = _synthetic_items(synthesize, synthetic)
    combined = _with_synthetic(plan, synthetic, weight=synthetic_weight)
    held_out = decisions[(decisions["split"] == "val") & (decisions["fate"] != "removed")]
    held_out = one_of_each_cluster(held_out.merge(clusters, on="path", validate="one_to_one"))
    known = held_out["label"].isin(classes).to_numpy(dtype=bool)
    warnings = []
    if not known.all():
        strange = ", ".join(sorted(held_out["label"][~known].astype(str).unique()))
        warnings.append(
            f"{int((~known).sum())} validation images are of classes without training images ({strange}); they were "
            "left out."
        )
    held_out = held_out[known]
    if held_out.empty:
        warnings.append("There are no validation images: the last epoch's weights are kept, whatever train.keep says.")
    files = [
        ingest / "manifest.parquet",
        split / "split.parquet",
        clean / "decisions.parquet",
        balance / "plan.parquet",
        balance / "plan.json",
        synthesize / "manifest.parquet",
        *sorted(synthesize.glob("images-*.parquet")),
    ]
    return TrainingData(
        classes=classes,
        plan=combined,
        n_real=len(plan.table),
        n_synthetic=len(synthetic),
        train_items=items(plan.table["path"].astype(str).tolist()) + made,
        val_items=items(held_out["path"].astype(str).tolist()),
        val_labels=held_out["label"].astype(str).tolist(),
        files=files,
        warnings=warnings,
    )


def _synthetic_items(folder: Path, synthetic: pd.DataFrame) -> list[Item]:
    rows = zip(synthetic["path"], synthetic["shard"], synthetic["row"], strict=True)
    with Reader(folder) as reader:
        return [
            Item(folder, int(shard), int(row), hashlib.sha256(reader.read(shard, row)).hexdigest(), str(path))
            for path, shard, row in rows
        ]


def _with_synthetic(plan: Plan, synthetic: pd.DataFrame, *, weight: float) -> Plan:
    """The plan with a row per synthetic image after the real ones.

    They are shown once an epoch with ``weight`` times their class's weight; under a weighted sampler an image's share
    is its class's, divided evenly among real and synthetic images. Where balance evens the classes out by such a
    sampler or by class weights, each class keeps its share of the loss.
    """
    labels = synthetic["label"].astype(str)
    assert set(labels) <= set(plan.class_weights), "a synthetic image is of a class without real ones"
    if synthetic.empty:
        return plan
    rows = pd.DataFrame(
        {
            "path": synthetic["path"],
            "label": labels,
            "repeats": 1,
            "weight": [weight * plan.class_weights[label] for label in labels],
            "probability": 0.0,
        }
    )
    table = pd.concat([plan.table, rows.astype(plan.table.dtypes.to_dict())], ignore_index=True)
    if plan.sampler == "weighted":
        real, made = plan.table["label"].value_counts(), labels.value_counts()
        totals = plan.table.groupby("label")["probability"].sum()
        kept = (real / real.add(made, fill_value=0)).fillna(0.0)
        share = table["label"].map(kept).astype("float64")
        fresh = table["label"].map(totals / real.add(made, fill_value=0)).astype("float64")
        is_made = np.arange(len(table)) >= len(plan.table)
        table["probability"] = np.where(is_made, fresh, table["probability"] * share)
    else:
        table["probability"] = table["repeats"] / table["repeats"].sum()
    if plan.sampler == "weighted" or len(set(plan.class_weights.values())) > 1:
        before, after = _parts(plan.table), _parts(table)
        kept = (before / after).fillna(1.0)  # a class whose images all have no weight
        table["weight"] *= table["label"].map(kept).astype("float64")
    priors = table.groupby("label")["probability"].sum()
    return replace(plan, table=table, class_priors={label: float(priors[label]) for label in plan.class_priors})


def _parts(table: pd.DataFrame) -> pd.Series:
    """Each class's part of an epoch's loss, by label; they add up to 1."""
    parts = (table["probability"] * table["weight"]).groupby(table["label"].astype(str)).sum()
    return parts / parts.sum()
