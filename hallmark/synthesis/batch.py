"""Candidates with the gates' results: as files, table, sheet and text."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hallmark.contracts.tables import SYNTHETIC, write_table
from hallmark.images import shards
from hallmark.synthesis import gallery

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hallmark.images.shards import ShardPosition
    from hallmark.synthesis.assay import Assay, Real
    from hallmark.synthesis.generator import Images, Labels
    from hallmark.synthesis.target import Want


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Candidates uint8 [n, height, width, channels], their target classes int64 [n], and the gates' results.

    ``train`` are the real training images.
    """

    images: Images
    labels: Labels
    names: Sequence[str]
    assay: Assay
    train: Real

    def _paths(self) -> list[str]:
        """A path for each image kept, numbered within its class."""
        last: dict[int, int] = {}
        out = []
        for label in self.labels[self.assay.kept]:
            last[int(label)] = last.get(int(label), -1) + 1
            out.append(f"synthetic/{self.names[int(label)]}/{last[int(label)]:05d}.png")
        return out

    def files(self) -> Iterator[tuple[str, bytes]]:
        """(path, PNG bytes) of each image kept."""
        for path, at in zip(self._paths(), self.assay.kept, strict=True):
            yield path, gallery.png(self.images[at])

    def table(self, places: Sequence[ShardPosition], *, origin: str) -> pd.DataFrame:
        """The columns of SYNTHETIC for the images kept."""
        kept = self.assay.kept
        return pd.DataFrame(
            {
                "path": self._paths(),
                "label": [self.names[int(label)] for label in self.labels[kept]],
                "shard": [place.shard for place in places],
                "row": [place.row for place in places],
                "origin": origin,
                "nearest_distance": self.assay.distance[kept],
                "agreement": self.assay.agreement[kept],
            }
        )

    def sheet(self) -> bytes:
        """A PNG of real beside generated images per class; images that pass the gates come first."""
        order = {"kept": 0, "refused": 0, "surplus": 1, "unfaithful": 2, "near_copy": 3}
        rank = np.array([order[fate] for fate in self.assay.fate])
        rows = []
        for label in np.unique(self.labels):
            at = np.flatnonzero(self.labels == label)
            at = at[np.argsort(rank[at], kind="stable")]
            real = self.train.images[self.train.labels == label][: gallery.REAL]
            rows.append((self.names[int(label)], real, self.images[at[: gallery.MADE]]))
        return gallery.sheet(rows)

    def classes(self, wants: Sequence[Want]) -> list[dict[str, Any]]:
        """Counts of each class's candidates by fate."""
        return [
            _class_row(want, self.assay.fate[self.labels == self.names.index(want.label)].tolist()) for want in wants
        ]


def write(batch: Batch | None, *, origin: str, synthesize: Path, plots: Path) -> None:
    """Writes manifest.parquet and the shard of the images kept to ``synthesize``, samples.png to ``plots``.

    Without a batch the manifest has no rows, and there is no other file.
    """
    table = pd.DataFrame(columns=list(SYNTHETIC))
    if batch is not None:
        table = batch.table(shards.write(synthesize, batch.files()), origin=origin)
        (plots / "samples.png").write_bytes(batch.sheet())
    write_table(table, SYNTHETIC, synthesize / "manifest.parquet")


def decision(batch: Batch | None, wants: Sequence[Want], *, off: bool) -> str:
    """What became of the wish for images: kept, refused, skipped (too large), too_few (real ones), not_needed, off."""
    if off:
        return "off"
    if not any(want.wanted for want in wants):
        return "too_few" if wants else "not_needed"
    if batch is None:
        return "skipped"
    return "refused" if batch.assay.refusal else "kept"


def verdict(
    decision: str, batch: Batch | None, wants: Sequence[Want], *, shape: Sequence[int] | None, max_side: int
) -> str:
    """The :func:`decision` in a sentence."""
    if batch is None:
        if decision == "skipped" and shape is not None:
            return (
                f"Skipped: the images are {shape[1]} × {shape[0]} pixels, and the generator makes none with a side "
                f"above {max_side} (synthesize.max_side); made smaller they would be blurred beside real ones."
            )
        if decision == "too_few":
            rare = ", ".join(f"{want.label} ({want.real})" for want in wants)
            return f"Nothing made: rare classes have too few real images to learn from (synthesize.min_real): {rare}."
        return {
            "off": "Off: synthesize.target asks for no images.",
            "not_needed": "Not needed: no class is as rare as synthesize.target and synthesize.classes mean.",
        }[decision]
    refusal = batch.assay.refusal
    if refusal is not None:
        return f"Refused by the gate {refusal.name}: {refusal.reason}. None of {len(batch.images)} images made is used."
    utility = batch.assay.gates[-1].reason
    return f"Kept {len(batch.assay.kept)} of {len(batch.images)} images made: {utility}."


def summary(batch: Batch | None, wants: Sequence[Want], *, real: int) -> dict[str, Any]:
    """The numbers of images and the gates' results, by their names in the report; ``real`` training images."""
    kept = len(batch.assay.kept) if batch else 0
    refusal = batch.assay.refusal if batch else None
    return {
        "real": real,
        "wanted": sum(want.wanted for want in wants),
        "made": len(batch.images) if batch else 0,
        "kept": kept,
        "share": round(kept / (real + kept), 6),
        "refused_by": refusal.name if refusal else None,
        "classes": batch.classes(wants) if batch else [_class_row(want, []) for want in wants],
        "gates": [dataclasses.asdict(gate) for gate in batch.assay.gates] if batch else [],
    }


def _class_row(want: Want, fates: Sequence[str]) -> dict[str, Any]:
    counted = {name: fates.count(name) for name in ("kept", "near_copy", "unfaithful", "surplus", "refused")}
    return {
        "label": want.label,
        "real": want.real,
        "wanted": want.wanted,
        "note": want.note,
        "made": len(fates),
        **counted,
    }
