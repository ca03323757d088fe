"""synthesize: images of the rarest classes by a generator fitted on train alone, kept only if they pass their gates."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hallmark.contracts import require
from hallmark.contracts.errors import GateRefused
from hallmark.contracts.names import NO_FOLDER
from hallmark.synthesis.presets import EXTERNAL, GENERATORS, PRESETS
from hallmark.synthesis.rules import Rules  # noqa: TC001  the params loader resolves the annotation

if TYPE_CHECKING:
    from pathlib import Path

    from hallmark.synthesis.batch import Batch
    from hallmark.synthesis.target import Want

ON_REFUSAL = ("skip", "fail")


@dataclass(frozen=True, kw_only=True)
class Params:
    """The section ``synthesize`` of params.yaml, and the shared seed."""

    seed: int
    target: str | bool | dict[str, int]  # YAML reads a bare `off` as false
    classes: str | list[str]
    rare_below: float
    most_per_real: float
    min_real: int
    generator: str
    preset: str
    guidance: float
    surplus: float
    max_side: int
    max_images: int
    external: str
    on_refusal: str
    gates: Rules

    def __post_init__(self) -> None:
        count = 'give "off", median, or images for each class'
        require.that(self.target is not True, "is true", remedy=count, field="target")
        if isinstance(self.target, str):
            require.one_of(("off", "median"), target=self.target)
        elif isinstance(self.target, dict):
            require.at_least(1, target=self.target)
        if isinstance(self.classes, str):
            require.one_of(("rarest", "all"), classes=self.classes)
        require.in_range(0.0, 1.0, rare_below=self.rare_below)
        require.positive(most_per_real=self.most_per_real)
        require.at_least(2, min_real=self.min_real)
        require.one_of(GENERATORS, generator=self.generator)
        require.one_of(tuple(PRESETS), preset=self.preset)
        require.in_range(0.0, 10.0, guidance=self.guidance)
        require.in_range(1.0, 20.0, surplus=self.surplus)
        require.in_range(8, 1024, max_side=self.max_side)
        require.at_least(2, max_images=self.max_images)
        require.not_blank(f"give a folder of class folders with images, or {NO_FOLDER}", external=self.external)
        require.one_of(ON_REFUSAL, on_refusal=self.on_refusal)


@dataclass(frozen=True, kw_only=True)
class Report:
    """reports/synthesize.json."""

    decision: str  # kept, refused, skipped (images too large), too_few (real ones), not_needed, off
    verdict: str  # the decision in words
    target: str | dict[str, int]
    generator: str
    preset: str
    image: dict[str, int] | None  # height, width, channels
    real: int  # training images
    wanted: int
    made: int  # candidates the gates judged
    kept: int
    share: float  # of the training images that are synthetic
    refused_by: str | None  # the gate that refused the set
    classes: list[dict[str, Any]]  # label, real, wanted, note, made, and candidates by what became of them
    gates: list[dict[str, Any]]  # name, passed, reason, figures


def run(
    params: Params,
    *,
    ingest: Path,
    split: Path,
    clean: Path,
    balance: Path,
    augment: Path,
    synthesize: Path,
    plots: Path,
) -> Report:
    """Writes manifest.parquet, the shard of what was kept, and samples.png where images were made.

    Raises GateRefused where there is no training image, or where ``on_refusal`` is fail and a gate refused.
    """
    from hallmark.contracts.tables import SYNTHETIC, write_table
    from hallmark.images import shards
    from hallmark.sampling import partitions
    from hallmark.synthesis import batch as batches
    from hallmark.synthesis import target

    rows = partitions.training(ingest=ingest, balance=balance)
    if rows.empty:
        raise GateRefused("synthesize: no training image is left", remedy="loosen the sections clean and balance")
    requested = "off" if isinstance(params.target, bool) else params.target
    wants: list[Want] = []
    if requested != "off":
        wants = target.of_classes(
            {str(label): int(count) for label, count in rows["label"].value_counts().items()},
            target=requested,
            classes=params.classes,
            rare_below=params.rare_below,
            most_per_real=params.most_per_real,
            min_real=params.min_real,
        )
    batch: Batch | None = None
    shape: tuple[int, int, int] | None = None
    decision, table = "off" if requested == "off" else "too_few" if wants else "not_needed", batches.empty()
    origin = EXTERNAL if params.external != NO_FOLDER else params.generator
    if any(want.wanted for want in wants):
        from hallmark.synthesis import production

        policy = json.loads((augment / "policy.json").read_text(encoding="utf-8"))
        with shards.Reader(ingest) as reader:
            batch, shape = production.produce(
                reader,
                rows,
                partitions.validation(ingest=ingest, split=split, clean=clean, classes=rows["label"]),
                wants=wants,
                external=None if params.external == NO_FOLDER else params.external,
                generator=params.generator,
                preset=params.preset,
                guidance=params.guidance,
                surplus=params.surplus,
                max_side=params.max_side,
                max_images=params.max_images,
                transforms=policy["transforms"],
                rules=params.gates,
                seed=params.seed,
            )
        decision = "skipped" if batch is None else "refused" if batch.assay.refusal else "kept"
    if batch:
        table = batch.table(shards.write(synthesize, batch.files()), origin=origin)
        (plots / "samples.png").write_bytes(batch.sheet())
    write_table(table, SYNTHETIC, synthesize / "manifest.parquet")
    gates = [dataclasses.asdict(gate) for gate in batch.assay.gates] if batch else []
    refusal = batch.assay.refusal if batch else None
    if refusal and params.on_refusal == "fail":
        raise GateRefused(
            f"synthesize: the gate {refusal.name} refused the images made: {refusal.reason}",
            remedy='set synthesize.on_refusal to skip, synthesize.target to "off", or a longer synthesize.preset',
            story={"gates": gates},
        )
    return Report(
        decision=decision,
        verdict=batches.verdict(decision, batch, wants, shape=shape, max_side=params.max_side),
        target=requested,
        generator=origin,
        preset=params.preset,
        image=dict(zip(("height", "width", "channels"), shape, strict=True)) if shape else None,
        real=len(rows),
        wanted=sum(want.wanted for want in wants),
        made=len(batch.images) if batch else 0,
        kept=len(table),
        share=round(len(table) / (len(rows) + len(table)), 6),
        refused_by=refusal.name if refusal else None,
        classes=batch.classes(wants) if batch else batches.untouched(wants),
        gates=gates,
    )
