"""Every file of the source: one row about it, and each content stored once, in shards."""

from __future__ import annotations

import math
import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hallmark.contracts import require
from hallmark.contracts.names import NO_FOLDER
from hallmark.contracts.reasons import counts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from hallmark.images.depth import Depth
    from hallmark.images.shards import ShardPosition


@dataclass(frozen=True, kw_only=True)
class Params:
    """Its section of params.yaml."""

    source: str
    layout: str
    images: str
    follow_outside: bool
    max_file_bytes: int
    max_files: int
    max_expanded_bytes: int
    max_expansion: float
    max_line_bytes: int
    sample_bits: int | Literal["auto"]

    def __post_init__(self) -> None:
        require.not_blank("give the path of a folder, a manifest or an archive", source=self.source)
        require.one_of(("auto", "class_folders"), layout=self.layout)
        require.not_blank(f"give {NO_FOLDER} if the source is not a manifest", images=self.images)
        require.that(
            posixpath.normpath(self.images) != posixpath.normpath(self.source),
            f"and {{source}} are both '{posixpath.normpath(self.source)}'",
            remedy=f"a folder as the source is watched already: set {{images}} to {NO_FOLDER}",
            field="images",
            siblings=["source", "images"],
        )
        require.in_range(8, 16, sample_bits=self.sample_bits)
        # one file is held in memory whole, and a cell of a Parquet file holds less than 2 GiB
        require.in_range(1, 2**31 - 2**20, max_file_bytes=self.max_file_bytes)
        for name in ("max_files", "max_expanded_bytes", "max_expansion", "max_line_bytes"):
            require.in_range(1, math.inf, **{name: getattr(self, name)})


@dataclass(frozen=True, kw_only=True)
class Report:
    """The contents of the source, before validation.

    ``kind`` is the kind of source; ``packed`` is empty, zip or tar; ``n_stored`` counts contents: files of equal bytes
    are stored once. ``classes`` counts files by class, of which ``unlabelled`` have none; ``splits`` counts files by
    the split the source gives; ``metadata`` names the columns a manifest brings along; ``digest`` identifies the
    content: paths, labels, groups, splits and bytes.
    """

    kind: str
    packed: str
    n_files: int
    n_bytes: int
    n_stored: int
    classes: dict[str, int]
    unlabelled: int
    splits: dict[str, int]
    groups: int
    metadata: list[str]
    reasons: dict[str, int]
    shards: int
    depth: dict[str, Any]  # 16-bit files that declare no smaller range: see hallmark.images.depth.Depth
    unwatched: int  # files that a manifest names outside ingest.images: a change in one goes unnoticed
    digest: str


def run(params: Params, *, ingest: Path) -> Report:
    """Reads the source. Raises InputError where there is nothing to read, MachineError where it may not be read."""
    import time
    from dataclasses import asdict

    from hallmark.contracts.tables import MANIFEST, write_table
    from hallmark.contracts.telemetry import note
    from hallmark.images import inventory
    from hallmark.images.bounds import Bounds
    from hallmark.images.sources import open_source

    started = time.perf_counter()
    bounds = Bounds(
        max_files=params.max_files,
        max_expanded_bytes=params.max_expanded_bytes,
        max_expansion=params.max_expansion,
        max_line_bytes=params.max_line_bytes,
    )
    source = open_source(
        params.source,
        layout=params.layout,
        images=params.images,
        follow_outside=params.follow_outside,
        bounds=bounds,
    )
    files = inventory.store(source, ingest, max_file_bytes=params.max_file_bytes)
    samples = _depth(params, ingest, files.deep)
    manifest = files.manifest()
    write_table(manifest, MANIFEST, ingest / "manifest.parquet")
    note(samples_per_second=round(len(manifest) / (time.perf_counter() - started), 1))
    return Report(
        kind=source.kind,
        packed=source.packed,
        n_files=len(manifest),
        n_bytes=int(manifest["size"].sum()),
        n_stored=len(files.stored),
        classes=_counts(manifest["label"]),
        unlabelled=int(manifest["label"].isna().sum()),
        splits=_counts(manifest["given_split"]),
        groups=int(manifest["group"].nunique()),
        metadata=[name.removeprefix("meta_") for name in manifest.columns if name.startswith("meta_")],
        reasons=dict(sorted(counts(manifest["reasons"]).items())),
        depth=asdict(samples),
        unwatched=files.unwatched(params.source, params.images),
        shards=len({position.shard for position in files.stored.values()}),
        digest=inventory.digest(manifest),
    )


def _depth(params: Params, folder: Path, positions: Sequence[ShardPosition]) -> Depth:
    """How many bits of their 16-bit samples the stored images use, left beside the shards."""
    import logging

    from hallmark.contracts.runtime import workers
    from hallmark.images import depth
    from hallmark.quality.sample_depth import peaks

    declared = None if params.sample_bits == "auto" else params.sample_bits
    sample_depth = depth.of(peaks(folder, positions, workers=workers()) if positions else [], declared=declared)
    depth.write(folder, sample_depth)
    if words := sample_depth.words():
        logging.getLogger("hallmark").warning("%s", words)
    return sample_depth


def _counts(column: pd.Series[Any]) -> dict[str, int]:
    return {str(name): int(count) for name, count in column.value_counts().sort_index().items()}
