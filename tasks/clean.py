"""clean: removes outliers, wrong labels and copies from train, flags them in val and test, and writes the ledger.

Removing hard images from the test set would bias its figures. A review decision overrides every detector.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from hallmark.contracts import require
from hallmark.contracts.names import NO_FOLDER
from hallmark.models.params import AUTO, NONE, automatic_backbone

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from hallmark.quality.detection import Encoder


SUSPECTS = 40


@dataclass(frozen=True, kw_only=True)
class Params:
    seed: int
    backbone: str
    out_of_fold: str
    duplicates: str
    outliers: str
    outlier_false_alarms: float
    label_issues: str
    label_evidence: float
    relabel_confidence: float
    downweight: float
    max_removed_share: float
    folds: int
    min_images: int

    def __post_init__(self) -> None:
        remedy = f"give the out_of_fold.parquet of `hallmark crossval`, or {NO_FOLDER}"
        require.not_blank(remedy, out_of_fold=self.out_of_fold)
        require.not_blank("give auto, none or the name of a trained network", backbone=self.backbone)
        require.one_of(("remove", "flag"), duplicates=self.duplicates)
        require.one_of(("remove", "flag", "downweight", "off"), outliers=self.outliers)
        require.one_of(("remove", "relabel", "downweight", "flag", "off"), label_issues=self.label_issues)
        require.in_range(0.0001, 0.1, outlier_false_alarms=self.outlier_false_alarms)
        require.at_least(1, label_evidence=self.label_evidence)
        for name in ("relabel_confidence", "downweight", "max_removed_share"):
            require.in_range(0, 1, **{name: getattr(self, name)})
        require.in_range(2, 20, folds=self.folds)
        require.at_least(20, min_images=self.min_images)


@dataclass(frozen=True, kw_only=True)
class Report:
    found: int  # files in the source
    fates: dict[str, int]  # add up to found
    per_class: dict[str, dict[str, int]]  # class as found ("" unlabelled) -> fate -> files
    per_split: dict[str, dict[str, int]]
    reasons: dict[str, dict[str, int]]  # reason -> fate -> files
    removed_from_train: dict[str, int]  # by cause: review, duplicates, conflicts, outliers, label_issues
    # findings in train only flagged: above max_removed_share, or labels doubted only because their class is rare
    spared: int
    train_images: dict[str, dict[str, int]]  # class -> before, after
    detectors: dict[str, Any]
    review: dict[str, Any]
    suspects: list[dict[str, Any]]  # worst first


def run(
    params: Params, *, ingest: Path, validate: Path, split: Path, review: Path, clean: Path, ledger: Path
) -> Report:
    from hallmark.contracts import tables
    from hallmark.quality import decisions, detection
    from hallmark.quality import ledger as books
    from hallmark.quality.review import match, read_review, summary
    from hallmark.splitting.units import positions

    manifest = tables.read_table(ingest / "manifest.parquet", tables.MANIFEST)
    measured = tables.read_table(validate / "measurements.parquet", tables.MEASUREMENTS)
    images = tables.read_table(split / "split.parquet", tables.SPLIT)
    reviewed = read_review(review)
    applied, stale = match(reviewed, manifest)

    table = decisions.start(images, measured, applied)
    train = (table["split"] == "train").to_numpy(bool)
    removed = {"review": int((train & (table["fate"] == "removed")).sum()), "duplicates": 0}
    if params.duplicates == "remove":
        removed["duplicates"] = int(decisions.remove_copies(table).sum())
    stored = table[["path"]].merge(manifest[["path", "shard", "row", "sha256"]], on="path", validate="one_to_one")
    detected = detection.detect(
        table,
        stored[["shard", "row"]].to_numpy("int64"),
        ingest,
        rules=detection.Rules(**{each.name: getattr(params, each.name) for each in fields(detection.Rules)}),
        order=positions(table["cluster"], seed=params.seed),
        encode=_encoder(params.backbone, measured, stored["sha256"].tolist(), ingest),
    )
    removed |= detected.removed
    decisions.name_stages(table)
    for column in ("outlier_score", "label_quality"):
        # the last bits depend on the number of BLAS threads
        table[column] = table[column].round(6)
    tables.write_table(table[list(tables.DECISIONS)], tables.DECISIONS, clean / "decisions.parquet")
    book = books.build(manifest, measured, table)
    books.write(book, ledger)
    after = table[train & (table["fate"] != "removed").to_numpy(bool)]["label"].value_counts()
    before = table[train]["found_label"].value_counts()
    names = sorted(set(before.index) | set(after.index))
    assert int(before.sum()) - sum(removed.values()) == int(after.sum()), "a removal is counted twice or not at all"
    return Report(
        found=len(manifest),
        fates=books.reconcile(book, found=len(manifest)),
        per_class=books.fates_by(book, "label"),
        per_split={name or "none": row for name, row in books.fates_by(book, "split").items()},
        reasons=books.fates_by_reason(book),
        removed_from_train=removed,
        spared=detected.spared,
        train_images={c: {"before": int(before.get(c, 0)), "after": int(after.get(c, 0))} for c in names},
        detectors=detected.facts,
        review=summary(reviewed, applied, stale, usable=table["path"]),
        suspects=decisions.suspects(table, most=SUSPECTS),
    )


def _encoder(backbone: str, measured: pd.DataFrame, digests: list[str], ingest: Path) -> Encoder | None:
    """The network whose features the detectors see; None: image gradients."""
    from functools import partial

    from hallmark.tracking import image_features

    if backbone == AUTO:
        sides = measured[["width", "height"]].min(axis=1)
        backbone = automatic_backbone(images=len(digests), side=int(sides.median()))[0] or NONE
    if backbone == NONE:
        return None
    return partial(image_features.of_stored, backbone=backbone, ingest=ingest, digests=digests, param="clean.backbone")
