"""Every file of the source: one row about it, and each content stored once, in shards."""

from __future__ import annotations

import math
import posixpath
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hallmark.contracts import require
from hallmark.contracts.names import NO_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from hallmark.images.depth import Depth
    from hallmark.images.found import Content, Source
    from hallmark.images.shards import Place


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
        require.not_blank(f"give {NO_FOLDER} where the source is no manifest", images=self.images)
        require.that(
            posixpath.normpath(self.images) != posixpath.normpath(self.source),
            f"and source are both '{posixpath.normpath(self.source)}'",
            remedy=f"a folder as the source is watched already: set images to {NO_FOLDER}",
            field="images",
        )
        require.in_range(8, 16, sample_bits=self.sample_bits)
        # one file is held in memory whole, and a cell of a Parquet file holds less than 2 GiB
        require.in_range(1, 2**31 - 2**20, max_file_bytes=self.max_file_bytes)
        for name in ("max_files", "max_expanded_bytes", "max_expansion", "max_line_bytes"):
            require.in_range(1, math.inf, **{name: getattr(self, name)})


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was found, before anyone judged it.

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
    from hallmark.images.bounds import Bounds
    from hallmark.images.shards import write
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
    contents: list[Content | None] = [None] * len(source.found)
    stored: dict[str, None] = {}
    deep: list[int] = []
    places = write(
        ingest, _items(source, params.max_file_bytes, contents, stored, deep), expected_bytes=source.expected_bytes
    )
    samples = _depth(params, ingest, [places[number] for number in deep])
    manifest = _manifest(source, contents, dict(zip(stored, places, strict=True)))
    write_table(manifest, MANIFEST, ingest / "manifest.parquet")
    note(samples_per_second=round(len(manifest) / (time.perf_counter() - started), 1))
    return Report(
        kind=source.kind,
        packed=source.packed,
        n_files=len(manifest),
        n_bytes=int(manifest["size"].sum()),
        n_stored=len(stored),
        classes=_counts(manifest["label"]),
        unlabelled=int(manifest["label"].isna().sum()),
        splits=_counts(manifest["given_split"]),
        groups=int(manifest["group"].nunique()),
        metadata=[name.removeprefix("meta_") for name in manifest.columns if name.startswith("meta_")],
        reasons=dict(
            sorted(Counter(reason for cell in manifest["reasons"] for reason in cell.split(";") if reason).items())
        ),
        depth=asdict(samples),
        unwatched=_unwatched(params, source, contents),
        shards=len({place.shard for place in places}),
        digest=_digest(manifest),
    )


def _unwatched(params: Params, source: Source, contents: Sequence[Content | None]) -> int:
    from hallmark.images.watched import unwatched

    if source.packed or source.kind not in ("csv_manifest", "parquet_manifest"):
        return 0
    read = zip(source.found, contents, strict=True)
    followed = [file.path for file, content in read if content is not None and content.reason != "outside_source"]
    return len(unwatched(followed, params.source, params.images))


def _items(
    source: Source, limit: int, contents: list[Content | None], stored: dict[str, None], deep: list[int]
) -> Iterator[tuple[str, bytes]]:
    """Path and bytes of the first file of each content; all else that is known of a file is left in ``contents``.

    ``stored`` takes the digests of what was given, in that order.
    ``deep`` takes the numbers, among those given, of files that may hold more than 8 bits a sample.
    """
    from dataclasses import replace

    from hallmark.contracts.progress import counted
    from hallmark.images.depth import candidate

    files = counted(source.contents(limit), "reading files", len(source.found), unit="files")
    for place, content in files:
        contents[place] = replace(content, data=None)
        if content.data is not None and content.sha256 not in stored:
            if candidate(content.data):
                deep.append(len(stored))
            stored[content.sha256] = None
            yield source.found[place].path, content.data


def _depth(params: Params, folder: Path, places: Sequence[Place]) -> Depth:
    """How many bits of their 16-bit samples the stored images use, left beside the shards."""
    import logging

    from hallmark.contracts.runtime import workers
    from hallmark.images import depth
    from hallmark.quality.sample_depth import peaks

    declared = None if params.sample_bits == "auto" else params.sample_bits
    found = depth.of(peaks(folder, places, workers=workers()) if places else [], declared=declared)
    depth.write(folder, found)
    if words := found.words():
        logging.getLogger("hallmark").warning("%s", words)
    return found


def _manifest(source: Source, contents: Sequence[Content | None], places: Mapping[str, Any]) -> pd.DataFrame:
    import pandas as pd

    from hallmark.contracts.names import join_reasons
    from hallmark.images.labels import settled

    found = source.found
    classes = settled((file.label for file in found), numbers=source.untyped)
    groups = settled((file.group for file in found), numbers=source.untyped)
    rows = []
    for file, content in zip(found, contents, strict=True):
        assert content is not None, f"{file.path} was listed, but never read"
        shard, row = places.get(content.sha256, (-1, -1))
        rows.append(
            {
                "path": file.path,
                "label": classes.get(file.label),
                "label_found": file.label,
                "group": groups.get(file.group),
                "given_split": file.given_split,
                "size": content.size,
                "sha256": content.sha256,
                "shard": shard,
                "row": row,
                "reasons": join_reasons({*file.reasons, content.reason} - {""}),
            }
        )
    metadata = {
        f"meta_{name}": _column([file.metadata.get(name) for file in found])
        for name in dict.fromkeys(name for file in found for name in file.metadata)
    }
    # at once: a frame that grows by a column is copied each time
    return pd.concat([pd.DataFrame(rows), pd.DataFrame(metadata, index=range(len(rows)))], axis=1)


def _column(values: list[Any]) -> pd.Series[Any]:
    """Metadata as numbers where every value there is one, else as text; empty cells are missing."""
    import pandas as pd

    there = [value for value in values if value is not None]
    # a number with leading zeros is a code
    codes = any(isinstance(value, bool) or (str(value)[:1] == "0" and str(value)[1:2].isdigit()) for value in there)
    if there and not codes:
        numbers = pd.Series(pd.to_numeric(pd.Series(values, dtype=object), errors="coerce"))
        if numbers.notna().sum() == len(there):
            return numbers
    return pd.Series([None if value is None else str(value) for value in values], dtype="string")


def _counts(column: pd.Series[Any]) -> dict[str, int]:
    return {str(name): int(count) for name, count in column.value_counts().sort_index().items()}


def _digest(manifest: pd.DataFrame) -> str:
    import hashlib
    import json

    digest = hashlib.sha256()
    columns = ["path", "label", "group", "given_split", "sha256"]
    for row in (
        manifest[columns].astype(object).where(manifest[columns].notna(), None).itertuples(index=False, name=None)
    ):
        digest.update(json.dumps(row, ensure_ascii=False).encode())
    return digest.hexdigest()
