"""The data of a training: the sampling plan's images, synthetic images, and the validation images."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hallmark.contracts.errors import GateRefused
from hallmark.contracts.tables import MANIFEST, SYNTHETIC, one_of_each_cluster, read_table
from hallmark.images.shards import Reader
from hallmark.learning.pixels import Item
from hallmark.sampling import partitions
from hallmark.sampling import plan as planning

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from hallmark.sampling.plan import Plan


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingData:
    """``plan`` and ``train_items`` have a row per training image, real ones first, then synthetic ones.

    Synthetic images of weight 0 are left out. ``val_items`` and ``val_labels`` hold one image of each duplicate
    cluster; ``doubted`` are the paths of images that clean holds for outliers or mislabelled. ``files`` are the tables
    read. The plan's ``class_priors`` cover real and synthetic images together.
    """

    classes: list[str]
    plan: Plan
    n_real: int
    n_synthetic: int
    train_items: list[Item]
    val_items: list[Item]
    val_labels: list[str]
    doubted: frozenset[str]
    files: list[Path]
    warnings: list[str]

    @property
    def val_paths(self) -> list[str]:
        """The paths of the validation images."""
        return [item.path for item in self.val_items]

    @property
    def images_per_epoch(self) -> int:
        """Images shown in an epoch."""
        return int(self.plan.table["repeats"].sum())

    def indices(self, labels: Iterable[str]) -> NDArray[np.int64]:
        """The labels as indices into ``classes``, int64 [n]."""
        index = {label: number for number, label in enumerate(self.classes)}
        return np.array([index[label] for label in labels], dtype=np.int64)


def read(
    *, ingest: Path, split: Path, clean: Path, balance: Path, synthesize: Path, synthetic_weight: float
) -> TrainingData:
    """Reads the outputs of the earlier stages. Raises GateRefused if fewer than two classes are left."""
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

    manifest = read_table(ingest / "manifest.parquet", MANIFEST).set_index("path")
    real = manifest.loc[plan.table["path"]].reset_index()
    images = partitions.remaining(ingest=ingest, split=split, clean=clean)
    held_out, warnings = _held_out(images, classes)
    return TrainingData(
        classes=classes,
        plan=_with_synthetic(plan, synthetic, weight=synthetic_weight),
        n_real=len(plan.table),
        n_synthetic=len(synthetic),
        train_items=items(ingest, real) + _synthetic_items(synthesize, synthetic),
        val_items=items(ingest, held_out),
        val_labels=held_out["label"].astype(str).tolist(),
        doubted=frozenset(partitions.doubted(clean)),
        files=_files(ingest=ingest, split=split, clean=clean, balance=balance, synthesize=synthesize),
        warnings=warnings,
    )


def _files(*, ingest: Path, split: Path, clean: Path, balance: Path, synthesize: Path) -> list[Path]:
    return [
        ingest / "manifest.parquet",
        split / "split.parquet",
        clean / "decisions.parquet",
        balance / "plan.parquet",
        balance / "plan.json",
        synthesize / "manifest.parquet",
        *sorted(synthesize.glob("images-*.parquet")),
    ]


def _held_out(images: pd.DataFrame, classes: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """One validation image of each duplicate cluster, of these classes, and warnings."""
    held_out = one_of_each_cluster(images[images["split"] == "val"])
    trained = held_out["label"].isin(classes).to_numpy(dtype=bool)
    warnings = []
    if not trained.all():
        untrained = ", ".join(sorted(held_out["label"][~trained].astype(str).unique()))
        warnings.append(
            f"{int((~trained).sum())} validation images are of classes without training images ({untrained}); they "
            "were left out."
        )
    if not trained.any():
        warnings.append("There are no validation images: the last epoch's weights are kept, whatever train.keep says.")
    return held_out[trained], warnings


def items(folder: Path, images: pd.DataFrame) -> list[Item]:
    """The images of rows with ``shard row sha256 path``, in the shards of a folder."""
    rows = zip(images["shard"], images["row"], images["sha256"], images["path"], strict=True)
    return [Item(folder, int(shard), int(row), str(digest), str(path)) for shard, row, digest, path in rows]


def _synthetic_items(folder: Path, synthetic: pd.DataFrame) -> list[Item]:
    rows = zip(synthetic["path"], synthetic["shard"], synthetic["row"], strict=True)
    with Reader(folder) as reader:
        return [
            Item(folder, int(shard), int(row), hashlib.sha256(reader.read(shard, row)).hexdigest(), str(path))
            for path, shard, row in rows
        ]


def _with_synthetic(plan: Plan, synthetic: pd.DataFrame, *, weight: float) -> Plan:
    """The plan with a row per synthetic image after the real ones.

    Each is shown once an epoch with ``weight`` times its class's weight. A weighted sampler divides a class's
    probability evenly among its real and synthetic images. If balance uses such a sampler or class weights, each class
    keeps its share of the loss.
    """
    labels = synthetic["label"].astype(str)
    assert set(labels) <= set(plan.class_weights), "a class has synthetic images but no real ones"
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
        real, added = plan.table["label"].value_counts(), labels.value_counts()
        totals = plan.table.groupby("label")["probability"].sum()
        real_share = (real / real.add(added, fill_value=0)).fillna(0.0)
        share = table["label"].map(real_share).astype("float64")
        fresh = table["label"].map(totals / real.add(added, fill_value=0)).astype("float64")
        is_synthetic = np.arange(len(table)) >= len(plan.table)
        table["probability"] = np.where(is_synthetic, fresh, table["probability"] * share)
    else:
        table["probability"] = table["repeats"] / table["repeats"].sum()
    if plan.sampler == "weighted" or len(set(plan.class_weights.values())) > 1:
        before, after = _parts(plan.table), _parts(table)
        correction = (before / after).fillna(1.0)  # if all images of a class have weight 0
        table["weight"] *= table["label"].map(correction).astype("float64")
    priors = table.groupby("label")["probability"].sum()
    return replace(plan, table=table, class_priors={label: float(priors[label]) for label in plan.class_priors})


def _parts(table: pd.DataFrame) -> pd.Series:
    """Each class's share of an epoch's loss, by label; the shares sum to 1."""
    parts = (table["probability"] * table["weight"]).groupby(table["label"].astype(str)).sum()
    return parts / parts.sum()
