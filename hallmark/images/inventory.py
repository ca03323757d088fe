"""Reads each file of a source once, stores each distinct content in shards, and lists the files in the manifest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from hallmark.contracts.progress import counted
from hallmark.contracts.reasons import join_reasons
from hallmark.images.depth import candidate
from hallmark.images.labels import settled
from hallmark.images.shards import write
from hallmark.images.watched import unwatched

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hallmark.images.entries import Content, Source
    from hallmark.images.shards import ShardPosition


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """The result of reading a source: ``contents`` in the order of its files, without bytes.

    ``stored`` maps the digest of each stored content to its position in the shards; ``deep`` are the positions of files
    that may have more than 8 bits per sample.
    """

    source: Source
    contents: list[Content]
    stored: dict[str, ShardPosition]
    deep: list[ShardPosition]

    def unwatched(self, path: str, images: str) -> int:
        """The number of files outside the watched folder ``images`` that the manifest at ``path`` names."""
        source = self.source
        if source.packed or source.kind not in ("csv_manifest", "parquet_manifest"):
            return 0
        read = zip(source.entries, self.contents, strict=True)
        followed = [file.path for file, content in read if content.reason != "outside_source"]
        return len(unwatched(followed, path, images))

    def manifest(self) -> pd.DataFrame:
        """The columns of MANIFEST, then the metadata as ``meta_<name>``."""
        entries = self.source.entries
        classes = settled((file.label for file in entries), numbers=self.source.untyped)
        groups = settled((file.group for file in entries), numbers=self.source.untyped)
        rows = []
        for file, content in zip(entries, self.contents, strict=True):
            shard, row = self.stored.get(content.sha256, (-1, -1))
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
            f"meta_{name}": _column([file.metadata.get(name) for file in entries])
            for name in dict.fromkeys(name for file in entries for name in file.metadata)
        }
        # in one step, since a frame is copied for each column that is added
        return pd.concat([pd.DataFrame(rows), pd.DataFrame(metadata, index=range(len(rows)))], axis=1)


@dataclass
class _Reading:
    """The files read so far."""

    contents: list[Content | None]
    digests: dict[str, None] = field(default_factory=dict)
    deep: list[int] = field(default_factory=list)

    def items(self, source: Source, limit: int) -> Iterator[tuple[str, bytes]]:
        """Path and bytes of the first file of each distinct content."""
        files = counted(source.contents(limit), "reading files", len(source.entries), unit="files")
        for index, content in files:
            self.contents[index] = replace(content, data=None)
            if content.data is not None and content.sha256 not in self.digests:
                if candidate(content.data):
                    self.deep.append(len(self.digests))
                self.digests[content.sha256] = None
                yield source.entries[index].path, content.data


def store(source: Source, folder: Path, *, max_file_bytes: int) -> Inventory:
    """Reads the files of the source, except those above ``max_file_bytes``, and writes the shards."""
    reading = _Reading(contents=[None] * len(source.entries))
    positions = write(folder, reading.items(source, max_file_bytes), expected_bytes=source.expected_bytes)
    contents = [content for content in reading.contents if content is not None]
    assert len(contents) == len(source.entries), "a listed file was not read"
    return Inventory(
        source=source,
        contents=contents,
        stored=dict(zip(reading.digests, positions, strict=True)),
        deep=[positions[number] for number in reading.deep],
    )


def digest(manifest: pd.DataFrame) -> str:
    """SHA-256 of the content of a source: paths, labels, groups, splits and bytes."""
    digest = hashlib.sha256()
    columns = ["path", "label", "group", "given_split", "sha256"]
    for row in (
        manifest[columns].astype(object).where(manifest[columns].notna(), None).itertuples(index=False, name=None)
    ):
        digest.update(json.dumps(row, ensure_ascii=False).encode())
    return digest.hexdigest()


def _column(values: list[Any]) -> pd.Series[Any]:
    """A metadata column: numbers if all its values are numeric, else text; empty cells are missing values."""
    present = [value for value in values if value is not None]
    # a number with leading zeros is a code
    codes = any(isinstance(value, bool) or (str(value)[:1] == "0" and str(value)[1:2].isdigit()) for value in present)
    if present and not codes:
        numbers = pd.Series(pd.to_numeric(pd.Series(values, dtype=object), errors="coerce"))
        if numbers.notna().sum() == len(present):
            return numbers
    return pd.Series([None if value is None else str(value) for value in values], dtype="string")
