"""Encoded images in a few Parquet files: written once, read by (shard, row).

A shard is ``images-00000.parquet`` with one column ``image: struct<bytes: binary, path: string>``, the layout Hugging
Face's datasets reads as an ``Image`` feature. Writing streams and holds one row group (about 1 MiB) at a time; there
are at most :data:`MOST_SHARDS` shards, whatever the number of images; the same items give the same bytes. Reading one
row reads its row group alone.

>>> import tempfile
>>> folder = Path(tempfile.mkdtemp())
>>> write(folder, [("a.png", b"first"), ("b.png", b"second")])
[ShardPosition(shard=0, row=0), ShardPosition(shard=0, row=1)]
>>> with Reader(folder) as reader:
...     reader.read(0, 1), list(reader.rows([(0, 1), (0, 0)]))
(b'second', [b'second', b'first'])
"""

from __future__ import annotations

import bisect
import contextlib
import functools
import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

import pyarrow as pa
import pyarrow.parquet as pq

from hallmark.contracts.errors import InputError
from hallmark.images import depth

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

MOST_SHARDS = 8
SHARD_BYTES = 256 * 2**20
GROUP_BYTES = 2**20
GROUP_ROWS = 1024

_FEATURES = {"info": {"features": {"image": {"_type": "Image"}}}}
_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
SCHEMA = pa.schema([("image", _IMAGE)], metadata={"huggingface": json.dumps(_FEATURES)})


class ShardPosition(NamedTuple):
    """Where the bytes of an image lie: the number of the shard, and the row in it."""

    shard: int
    row: int


def name_of(shard: int) -> str:
    """The file of a shard."""
    return f"images-{shard:05d}.parquet"


def write(folder: Path, items: Iterable[tuple[str, bytes]], *, expected_bytes: int = 0) -> list[ShardPosition]:
    """Writes (path, bytes) items in their order and returns the position of each; no items, no shard.

    ``expected_bytes``, where known beforehand, makes the shards of large sets equal in size: a shard takes the eighth
    part of it, or 256 MiB if that is more; the last shard takes the rest.
    """
    limit = max(SHARD_BYTES, -(-expected_bytes // MOST_SHARDS))
    positions: list[ShardPosition] = []
    stream = iter(items)
    for shard in range(MOST_SHARDS):
        first = next(stream, None)
        if first is None:
            break
        with _Writer(folder / name_of(shard)) as writer:
            for path, data in itertools.chain([first], stream):
                positions.append(ShardPosition(shard, writer.add(path, data)))
                if writer.size >= limit and shard < MOST_SHARDS - 1:
                    break
    return positions


class _Writer:
    """One shard being written."""

    def __init__(self, path: Path) -> None:
        self.size = 0
        self._rows = 0
        self._images: list[bytes] = []
        self._paths: list[str] = []
        self._pending_bytes = 0
        # images are compressed already, and statistics of them would double the smallest ones
        self._parquet = pq.ParquetWriter(path, SCHEMA, compression="NONE", use_dictionary=False, write_statistics=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        self._parquet.close()

    def add(self, path: str, data: bytes) -> int:
        """Adds an image; its row."""
        self._images.append(data)
        self._paths.append(path)
        self._pending_bytes += len(data)
        self.size += len(data)
        if self._pending_bytes >= GROUP_BYTES or len(self._images) >= GROUP_ROWS:
            self._flush()
        self._rows += 1
        return self._rows - 1

    def _flush(self) -> None:
        if self._images:
            columns = [pa.array(self._images, pa.binary()), pa.array(self._paths, pa.string())]
            images = pa.StructArray.from_arrays(columns, fields=list(_IMAGE))
            self._parquet.write_table(pa.Table.from_arrays([images], schema=SCHEMA))
            self._images, self._paths, self._pending_bytes = [], [], 0


class Reader:
    """Reads the images of a folder's shards.

    Files are opened when first asked for and kept open, and of each shard the row group read last is kept: reading in
    the order of writing reads every byte once. Not safe to share between threads, processes or across a fork: each
    opens its own.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._files: dict[int, pq.ParquetFile] = {}
        self._starts: dict[int, list[int]] = {}
        self._last: dict[int, tuple[int, pa.Array]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes all files."""
        with contextlib.ExitStack() as stack:
            for file in self._files.values():
                stack.callback(file.close)
        self._files, self._starts, self._last = {}, {}, {}

    @functools.cached_property
    def bits(self) -> int:
        """How many bits of their 16-bit samples the images use (:func:`hallmark.images.decoding.decode`)."""
        return depth.read(self.folder)

    def read(self, shard: int, row: int) -> bytes:
        """The bytes of one image. Raises InputError where there is no such shard or row."""
        starts = self._open(shard)
        if not 0 <= row < starts[-1]:
            raise InputError(
                f"{self.folder / name_of(shard)} has no row {row}, only {starts[-1]}",
                remedy="run the stage ingest again",
            )
        group = bisect.bisect_right(starts, row) - 1
        last, images = self._last.get(shard, (-1, None))
        if last != group or images is None:
            images = self._files[shard].read_row_group(group, columns=["image.bytes"]).column("image").chunk(0).field(0)
            self._last[shard] = (group, images)
        data = images[row - starts[group]].as_py()
        assert isinstance(data, bytes)
        return data

    def rows(self, pairs: Iterable[tuple[int, int]]) -> Iterator[bytes]:
        """The bytes of the images at (shard, row) pairs, in the order asked; as :meth:`read` raises."""
        for shard, row in pairs:
            yield self.read(int(shard), int(row))

    def _open(self, shard: int) -> list[int]:
        """The first row of each row group, and after them the number of rows."""
        if shard not in self._files:
            path = self.folder / name_of(shard)
            try:
                file = pq.ParquetFile(path)
            except (OSError, pa.ArrowInvalid) as error:
                raise InputError(f"{path} cannot be read: {error}", remedy="run the stage before it again") from error
            groups = range(file.metadata.num_row_groups)
            counts = (file.metadata.row_group(group).num_rows for group in groups)
            self._files[shard] = file
            self._starts[shard] = list(itertools.accumulate(counts, initial=0))
        return self._starts[shard]
