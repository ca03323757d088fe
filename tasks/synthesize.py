"""synthesize: images of the rarest classes by a generator fitted on train alone, kept only if they pass their gates."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hallmark.contracts import require
from hallmark.contracts.errors import GateRefused
from hallmark.contracts.names import NO_FOLDER
from hallmark.synthesis.presets import EXTERNAL, GENERATORS, PRESETS
from hallmark.synthesis.rules import Rules  # noqa: TC001  the params loader resolves the annotation
from hallmark.synthesis.target import Amounts

if TYPE_CHECKING:
    from pathlib import Path

    from hallmark.synthesis.batch import Batch

ON_REFUSAL = ("skip", "fail")


@dataclass(frozen=True, kw_only=True)
class Params(Amounts):
    """The section ``synthesize`` of params.yaml, and the shared seed."""

    seed: int
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
        super().__post_init__()
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
    from hallmark.images import shards
    from hallmark.sampling import partitions
    from hallmark.synthesis import batch as batches

    rows = partitions.training(ingest=ingest, balance=balance)
    if rows.empty:
        raise GateRefused("synthesize: no training image is left", remedy="loosen the sections clean and balance")
    wants = params.wants(rows["label"])
    external = None if params.external == NO_FOLDER else params.external
    batch: Batch | None = None
    shape: tuple[int, int, int] | None = None
    if any(want.wanted for want in wants):
        from hallmark.synthesis import production

        policy = json.loads((augment / "policy.json").read_text(encoding="utf-8"))
        with shards.Reader(ingest) as reader:
            batch, shape = production.produce(
                reader,
                rows,
                partitions.validation(ingest=ingest, split=split, clean=clean, classes=rows["label"]),
                wants=wants,
                external=external,
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
    origin = params.generator if external is None else EXTERNAL
    batches.write(batch, origin=origin, synthesize=synthesize, plots=plots)
    decision = batches.decision(batch, wants, off=params.requested == "off")
    summary = batches.summary(batch, wants, real=len(rows))
    if batch and batch.assay.refusal and params.on_refusal == "fail":
        raise GateRefused(
            f"synthesize: the gate {batch.assay.refusal.name} refused the images made: {batch.assay.refusal.reason}",
            remedy='set synthesize.on_refusal to skip, synthesize.target to "off", or a longer synthesize.preset',
            story={"gates": summary["gates"]},
        )
    return Report(
        decision=decision,
        verdict=batches.verdict(decision, batch, wants, shape=shape, max_side=params.max_side),
        target=params.requested,
        generator=origin,
        preset=params.preset,
        image=dict(zip(("height", "width", "channels"), shape, strict=True)) if shape else None,
        **summary,
    )
