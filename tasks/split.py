"""split: clusters duplicates and assigns every usable image to train, val or test.

70/20/10 by default, stratified by class; user groups and duplicate clusters stay whole. Small sets are split exactly,
large ones so that images keep their split as data grow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hallmark.contracts import require
from hallmark.contracts.errors import GateRefused
from hallmark.contracts.names import SPLITS
from hallmark.splitting.stability import STABILITIES

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class NearDuplicates:
    hash_distance: int
    max_residual: float
    align_from: int

    def __post_init__(self) -> None:
        require.in_range(0, 12, hash_distance=self.hash_distance)
        require.in_range(0, 1, max_residual=self.max_residual)
        require.at_least(1, align_from=self.align_from)


@dataclass(frozen=True, kw_only=True)
class Params:
    seed: int
    val: float
    test: float
    stability: str
    on_leak: str
    cover_small_classes: bool
    near_duplicates: NearDuplicates

    def __post_init__(self) -> None:
        require.in_range(0, 0.5, val=self.val, test=self.test)
        held = self.val + self.test
        remedy = "leave images to train on"
        require.that(held <= 0.9, f"+ {{test}} is {held:g}, above 0.9", remedy=remedy, field="val", siblings=["test"])
        require.one_of(STABILITIES, stability=self.stability)
        require.one_of(("fail", "move", "report"), on_leak=self.on_leak)


@dataclass(frozen=True, kw_only=True)
class Report:
    n_images: int
    counts: dict[str, int]  # images per split
    shares: dict[str, float]
    stability: str  # hash or exact
    per_class: dict[str, dict[str, int]]  # class -> split -> images
    classes_without: dict[str, list[str]]  # split -> classes with no image in it
    n_units: int
    n_groups: int
    clusters: dict[str, int]  # clusters of two or more images: exact, near, conflicting, and their images
    given: dict[str, Any]  # images with a predefined split, leaks, moved, splits carved out of train
    warnings: list[str]  # about splits of few groups


def run(params: Params, *, ingest: Path, validate: Path, split: Path) -> Report:
    import numpy as np

    from hallmark.contracts import tables
    from hallmark.splitting import description, predefined, scarcity, stability
    from hallmark.splitting.units import find_units

    manifest = tables.read_table(ingest / "manifest.parquet", tables.MANIFEST)
    measured = tables.read_table(validate / "measurements.parquet", tables.MEASUREMENTS)
    usable = measured[~measured["quarantined"]].drop(columns="reasons")
    images = usable.merge(manifest.drop(columns="reasons"), on="path", how="left", validate="one_to_one")
    if images.empty:
        raise GateRefused("split: no usable image is left", remedy="see reports/validate.json for the reasons")

    images["cluster_number"] = _clusters(params, images, ingest)
    images["cluster"] = images.groupby("cluster_number")["path"].transform("min")
    unit, position = find_units(
        cluster=images["cluster"], group=images["group"], content=images["pixel_hash"], seed=params.seed
    )
    _, label = np.unique(images["label"].to_numpy(dtype=object), return_inverse=True)
    images["unit"] = unit
    shares = {"val": params.val, "test": params.test}
    resolved = stability.resolve(params.stability, len(images))
    rule = stability.rule(resolved, cover=params.cover_small_classes)
    fixed = predefined.read_split(images["given_split"])
    leaks = predefined.find_leaks(fixed, unit, len(position))
    if (fixed == predefined.ABSENT).all():
        scarcity.refuse_too_few(images, splits=1 + sum(share > 0 for share in shares.values()))
    if leaks.any() and params.on_leak == "fail":
        raise _refusal(images, leaks)
    move = params.on_leak == "move"
    number, carved = predefined.complete(fixed, unit, label, position, **shares, rule=rule, move=move)
    images["split"] = np.array(SPLITS, dtype=object)[number]
    moved = (fixed != predefined.ABSENT) & (fixed != number) & leaks
    description.describe(images, moved if move else leaks)
    tables.write_table(images[list(tables.SPLIT)], tables.SPLIT, split / "split.parquet")

    per_class = description.per_class(images)
    counts = {name: sum(row[name] for row in per_class.values()) for name in SPLITS}
    return Report(
        n_images=len(images),
        counts=counts,
        shares={name: round(counts[name] / len(images), 6) for name in SPLITS},
        stability=resolved,
        per_class=per_class,
        classes_without={name: [label for label, row in per_class.items() if not row[name]] for name in SPLITS},
        n_units=len(position),
        n_groups=int(images["group"].nunique()),
        clusters=description.clusters(images),
        given=predefined.summary(fixed, leaks, moved, unit, carved),
        warnings=scarcity.warnings(images, shares={"train": 1 - params.val - params.test, **shares}),
    )


def _clusters(params: Params, images: pd.DataFrame, ingest: Path) -> NDArray[np.int64]:
    from hallmark.contracts.runtime import workers
    from hallmark.quality import thumbnails
    from hallmark.quality.duplicates import SIDE, find_clusters

    stored = images[["shard", "row"]].to_numpy("int64")
    near = params.near_duplicates
    return find_clusters(
        images,
        lambda rows: thumbnails.load(ingest, stored[rows], side=SIDE, workers=workers()),
        distance=near.hash_distance,
        max_residual=near.max_residual,
        align_from=near.align_from,
    )


def _refusal(images: pd.DataFrame, leaks: NDArray[np.bool_]) -> GateRefused:
    leaking = images.loc[leaks, ["path", "given_split", "cluster", "group"]].sort_values(["cluster", "path"])
    paths = ", ".join(leaking["path"].head(5))
    return GateRefused(
        f"split: {len(leaking)} images share a group or are copies of images in another given split ({paths} ...)",
        remedy="set split.on_leak to move (to the most held-out split) or report, or correct the splits in the source",
        story={"leaking": leaking.head(200).astype(object).where(leaking.notna(), None).to_dict("records")},
    )
