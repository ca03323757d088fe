"""Limits on the size of a source and on what it expands to, checked while it is read.

A few kilobytes can expand to terabytes: archive members, cells of a Parquet dictionary, an endless line. The defaults
are far above the needs of image data sets; to read a larger one, raise the value that the message names.
"""

from __future__ import annotations

import io
import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from hallmark.contracts.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import IO

    from hallmark.images.entries import Content

#: Every archive or table may expand to this many bytes, whatever its own size.
FREE_BYTES = 256 * 2**20
CHUNK_BYTES = 2**20
# what Parquet decodes at a time
_BATCH_BYTES = 128 * 2**20


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The limits, named as in the section ``ingest`` of params.yaml; every excess raises InputError."""

    max_files: int = 2_000_000
    max_expanded_bytes: int = 2**40
    max_expansion: float = 200.0
    max_line_bytes: int = 2**20

    def files(self, count: int, name: str) -> None:
        """Refuses a source of more files, members or rows than ``max_files``."""
        if count > self.max_files:
            raise InputError(
                f"{name} has more than {self.max_files} files or rows ({{max_files}})",
                remedy="raise {max_files} if that is right",
                field="source",
                siblings=["max_files"],
            )

    def expanded(self, count: int, packed: int, name: str) -> None:
        """Refuses ``count`` bytes unpacked from an archive or table of ``packed`` bytes."""
        if count > self.most_expanded(packed):
            key = "max_expanded_bytes" if self.most_expanded(packed) == self.max_expanded_bytes else "max_expansion"
            raise InputError(
                f"{name} has {packed} bytes and expands to more than {self.most_expanded(packed)} ({{{key}}})",
                remedy=f"raise {{{key}}} if you trust it, or unpack it and give the folder",
                field="source",
                siblings=[key],
            )

    def most_expanded(self, packed: int) -> int:
        """Bytes that an archive or table of ``packed`` bytes may expand to."""
        return min(self.max_expanded_bytes, max(FREE_BYTES, int(self.max_expansion * packed)))

    def line(self, size: int, name: str) -> None:
        """Refuses a line or row of more than ``max_line_bytes``."""
        if size > self.max_line_bytes:
            raise InputError(
                f"{name} has a line of more than {self.max_line_bytes} bytes ({{max_line_bytes}})",
                remedy="raise {max_line_bytes} if that is right",
                field="source",
                siblings=["max_line_bytes"],
            )

    def contents(
        self, contents: Iterable[tuple[int, Content]], packed: int, name: str
    ) -> Iterator[tuple[int, Content]]:
        """The contents of an archive or table, checked by :meth:`expanded` as they are read."""
        total = 0
        for index, content in contents:
            if content.data is not None:
                total += len(content.data)
                self.expanded(total, packed, name)
            yield index, content

    def lines(self, file: BinaryIO, name: str) -> BinaryIO:
        """The text file, checked as it is read: the length of each line, and their number."""
        return io.BufferedReader(_Lines(file, self, name), CHUNK_BYTES)

    def table(self, file: BinaryIO, packed: int, name: str) -> BinaryIO:
        """A table file within bounds: text is checked while it is read, Parquet at once."""
        suffix = posixpath.splitext(name)[1].casefold()
        if suffix in (".parquet", ".pq"):
            try:
                self.parquet(file, packed, name)
            except InputError:
                file.close()
                raise
            file.seek(0)
        return self.lines(file, name) if suffix in (".csv", ".jsonl") else file

    def parquet(self, file: Path | BinaryIO, packed: int, name: str) -> None:
        """Refuses a Parquet file with more rows than ``max_files`` or a row with more text than ``max_line_bytes``.

        Text is measured in its dictionary encoding, so a long value that a million rows repeat is decoded once.
        """
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        try:
            parquet = pq.ParquetFile(file)
            self.files(parquet.metadata.num_rows, name)
            schema = parquet.schema_arrow
            texts = [field.name for field in schema if is_text(field.type)]
            if not texts:
                return
            parquet = pq.ParquetFile(file, read_dictionary=texts)
            self.expanded(_declared(parquet, texts), packed, name)
            for batch in parquet.iter_batches(batch_size=4096, columns=texts):
                sizes = None
                for column in batch.columns:
                    if isinstance(column, pa.DictionaryArray):
                        lengths = pc.binary_length(column.dictionary).take(column.indices)
                    else:
                        lengths = pc.binary_length(column)
                    lengths = pc.fill_null(lengths.cast(pa.int64()), 0)
                    sizes = lengths if sizes is None else pc.add(sizes, lengths)
                self.line(pc.max(sizes).as_py() or 0, name)
        except (pa.ArrowInvalid, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise InputError(
                f"{name} is not a Parquet file: {error}", remedy="write it again", field="source"
            ) from error


class _Lines(io.RawIOBase):
    """A text file that raises InputError while it is read, for a line that is too long or for too many lines."""

    def __init__(self, file: BinaryIO, bounds: Bounds, name: str) -> None:
        self._file, self._bounds, self._name = file, bounds, name
        self._lines = self._open_bytes = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        assert (position, whence) == (0, io.SEEK_SET), "lines are counted from the start"
        self._lines = self._open_bytes = 0
        return self._file.seek(0)

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        ends = data.split(b"\n")
        self._bounds.line(max(self._open_bytes + len(ends[0]), *map(len, ends)), self._name)
        self._open_bytes = len(ends[-1]) + (self._open_bytes if len(ends) == 1 else 0)
        self._lines += len(ends) - 1
        self._bounds.files(self._lines - 1, self._name)  # the first is the header
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def is_text(kind: Any) -> bool:
    """Whether a column's type is text, in any of Arrow's layouts."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def read_chunks(file: IO[bytes]) -> Iterator[bytes]:
    """The rest of a file, chunk by chunk."""
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


def batch_rows(parquet: object, column: str, most: int) -> int:
    """The number of rows of a column to decode at a time, at most ``most``; fewer for large or repeated cells."""
    metadata = parquet.metadata  # type: ignore[attr-defined]
    rows = most
    for group in range(metadata.num_row_groups):
        whole = metadata.row_group(group)
        for number in range(whole.num_columns):
            part = whole.column(number)
            if part.path_in_schema.partition(".")[0] != column or not whole.num_rows:
                continue
            # one dictionary value may be repeated in every row and make up nearly the whole column
            repeated = any("DICTIONARY" in encoding for encoding in part.encodings)
            cell = part.total_uncompressed_size // (1 if repeated else whole.num_rows)
            rows = min(rows, max(1, _BATCH_BYTES // max(cell, 1)))
    return rows


def _declared(parquet: object, columns: list[str]) -> int:
    metadata = parquet.metadata  # type: ignore[attr-defined]
    return sum(
        part.total_uncompressed_size
        for group in range(metadata.num_row_groups)
        for part in map(metadata.row_group(group).column, range(metadata.num_columns))
        if part.path_in_schema.partition(".")[0] in columns
    )
