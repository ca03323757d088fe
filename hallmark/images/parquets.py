"""Parquet sources: manifests, and tables that contain the images, as in Hugging Face's datasets.

A table of images has a column of type ``struct<bytes, path>`` (or binary) and a label column. Labels are text, or
integers with names in the schema's Hugging Face metadata (``ClassLabel``). The images have the paths ``row:0``,
``row:1``, …
"""

from __future__ import annotations

import json
import posixpath
from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from hallmark.contracts.errors import InputError
from hallmark.images import labels, manifests
from hallmark.images.bounds import batch_rows, is_text
from hallmark.images.entries import Content, Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import BinaryIO

    from hallmark.images.entries import Value

LABELS = ("label", "labels", "class", "target", "fine_label")
_ROWS = 64


class Table:
    """A Parquet file as a source."""

    def __init__(self, file: Path | BinaryIO, name: str) -> None:
        self.name = name
        try:
            self._parquet = pq.ParquetFile(file)
        except pa.ArrowInvalid as error:
            raise InputError(
                f"{name} is not a Parquet file: {error}", remedy="write it again", field="source"
            ) from error
        self._schema = self._parquet.schema_arrow
        self.columns: list[str] = self._schema.names
        self._features = _features(self._schema)
        self.image = self._image_column()

    def entries(self) -> list[Entry]:
        """The rows, sorted by path: those of the manifest, or ``row:N``. Raises InputError for faults."""
        if self.image is None:
            manifests.check_columns(self.columns, self.name)
            self.check_label("label")
            for name in {"path", "group", "split"} & set(self.columns):
                kind = self._schema.field(name).type
                if not _is_plain(kind):
                    raise InputError(
                        f"{self.name} holds {kind} in its column '{name}'", remedy="write it as text", field="source"
                    )
            return manifests.entries_of(self.rows("label"), self.name, lambda number: f"row {number}")
        rows = self.images()
        if not rows:
            raise InputError(f"{self.name} has no rows", remedy="give a table with one row per image", field="source")
        labels.refuse_lists(Counter(row.label for row in rows if row.label is not None), self.name)
        return sorted(rows, key=lambda row: row.path)

    def images(self, *, prefix: str = "", split: str | None = None) -> list[Entry]:
        """The rows of a table of images in file order, with the paths ``<prefix>row:N``.

        Rows without a split get ``split``. Raises InputError for faults.
        """
        manifests.check_twice(self.columns, self.name)
        label = self._label_column()
        self.check_label(label)
        rows = []
        for number, row in enumerate(self.rows(label)):
            if label != "label":
                row["label"] = row.pop(label)
            if split is not None and row.get("split") is None:
                row["split"] = split
            try:
                rows.append(manifests.describe(row, f"{prefix}row:{number}"))
            except manifests.Fault as fault:
                raise InputError(f"{self.name}, row {number}: {fault}", remedy=fault.remedy, field="source") from fault
        return rows

    def contents(self, limit: int, elsewhere: Callable[[str, int], Content]) -> Iterator[Content]:
        """The content of each row of a table of images; ``elsewhere`` reads the path of a row without bytes."""
        assert self.image is not None
        rows = batch_rows(self._parquet, self.image, _ROWS)
        for batch in self._parquet.iter_batches(batch_size=rows, columns=[self.image]):
            for cell in batch.column(0):
                yield _content(cell.as_py(), limit, elsewhere)

    def class_names(self) -> list[str] | None:
        """The class names in Hugging Face's metadata, in the order of the integer labels; None without any."""
        names = self._features.get(self._label_column(), {}).get("names")
        return list(names) if names else None

    def name_classes(self, names: list[str]) -> None:
        """Sets the class names to those of another shard, unless this one has its own."""
        if self.class_names() is None:
            self._features[self._label_column()] = {"_type": "ClassLabel", "names": names}

    def check_label(self, name: str) -> None:
        """Raises InputError if the type of a column does not hold one label per row."""
        kind = self._schema.field(name).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if pa.types.is_nested(kind):
            several = "multi-label: its column" if _is_list(kind) else "not a table of labels: its column"
            raise InputError(f"{self.name} is {several} '{name}' is of type {kind}", remedy=labels.ONE, field="source")
        if _is_binary(kind):
            raise InputError(
                f"{self.name} holds bytes in its column '{name}'", remedy="write labels as text", field="source"
            )

    def rows(self, label: str) -> Iterator[dict[str, Value]]:
        """The rows without the image column; integers in the column ``label`` become class names.

        Columns of lists, structs and bytes are skipped: they are no metadata to compare images by, and may be huge.
        """
        columns = [field.name for field in self._schema if field.name != self.image and _is_plain(field.type)]
        names = self._features.get(label, {}).get("names")
        for batch in self._parquet.iter_batches(batch_size=4096, columns=columns):
            for row in batch.to_pylist():
                values = {key: manifests.plain(value) for key, value in row.items()}
                number = values[label]
                if names is not None and isinstance(number, int):
                    # -1 stands for no label, as in the test sets of Hugging Face
                    values[label] = names[number] if 0 <= number < len(names) else None
                yield values

    def _image_column(self) -> str | None:
        candidates = [
            field.name
            for field in self._schema
            if self._features.get(field.name, {}).get("_type") == "Image" or _holds_images(field)
        ]
        return next((name for name in ("image", "img") if name in candidates), candidates[0] if candidates else None)

    def _label_column(self) -> str:
        classes = [name for name, feature in self._features.items() if feature.get("_type") == "ClassLabel"]
        for name in (*LABELS, *(classes if len(classes) == 1 else [])):
            if name in self.columns:
                return name
        raise InputError(
            f"{self.name} has the columns {', '.join(self.columns)} but no label",
            remedy="name the column of labels 'label'",
            field="source",
        )


def _content(cell: Any, limit: int, elsewhere: Callable[[str, int], Content]) -> Content:
    data = cell.get("bytes") if isinstance(cell, dict) else cell
    if data is not None:
        return Content.of(data) if len(data) <= limit else Content.too_large(len(data))
    path = cell.get("path") if isinstance(cell, dict) else None
    return elsewhere(posixpath.normpath(path), limit) if path else Content.unreadable()


def _holds_images(field: pa.Field) -> bool:
    if pa.types.is_struct(field.type):
        return any(child.name == "bytes" and _is_binary(child.type) for child in field.type)
    return field.name in ("image", "img") and _is_binary(field.type)


def _is_plain(kind: pa.DataType) -> bool:
    """Whether the cells of a column are text, numbers, times or booleans."""
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(is_text(value) or pa.types.is_primitive(value) or pa.types.is_decimal(value) or pa.types.is_null(value))


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
        or pa.types.is_list_view(kind)
        or pa.types.is_large_list_view(kind)
    )


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _features(schema: pa.Schema) -> dict[str, dict[str, Any]]:
    """Hugging Face's description of the columns; empty if it is missing or invalid."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    return {name: feature for name, feature in features.items() if isinstance(feature, dict)}
