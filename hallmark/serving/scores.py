"""The answers of `hallmark predict` as a table: Parquet or CSV, by the file extension.

Columns: ``path, label, probability, error``, and for each class ``probability_<class>`` and ``calibrated_<class>``.
``error`` is empty for a classified image; all columns but ``path`` and ``error`` are empty for any other.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from itertools import islice
from typing import TYPE_CHECKING, Any

from hallmark.contracts.errors import InputError, MachineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import pandas as pd
    import pyarrow as pa

KINDS = (".parquet", ".csv")
_ROWS = 4096  # rows held in memory and written at a time


def check(path: Path) -> None:
    """Raises InputError or MachineError if no table can be written to ``path``; called before any work."""
    if path.suffix.lower() not in KINDS:
        raise InputError(f"--out is '{path}'", remedy=f"give a file name that ends in {' or '.join(KINDS)}")
    try:
        if path.is_dir() or not path.absolute().parent.is_dir():
            problem = "is a folder" if path.is_dir() else "is in a folder that does not exist"
            raise InputError(f"--out {path} {problem}", remedy="give the name of a file in an existing folder")
        with tempfile.TemporaryFile(dir=path.absolute().parent):
            pass
    except OSError as error:
        fault = InputError if error.errno == errno.ENAMETOOLONG else MachineError
        problem = f"--out {path} cannot be written ({error.strerror})"
        raise fault(problem, remedy="give a file in a writable folder") from error


def written(rows: Iterable[dict[str, Any]], classes: Sequence[str], path: Path) -> Iterator[dict[str, Any]]:
    """Yields the rows unchanged; writes the table atomically after the last."""
    import pyarrow as pa

    schema = _schema(classes)
    number, scratch = tempfile.mkstemp(prefix=".partial-", dir=path.absolute().parent)
    os.close(number)
    try:
        with _writer(scratch, path.suffix.lower(), schema) as writer:
            stream = iter(rows)
            while part := list(islice(stream, _ROWS)):
                writer.write_table(pa.Table.from_pylist([_flat(row, classes) for row in part], schema=schema))
                yield from part
        os.chmod(scratch, 0o666 & ~_umask())
        os.replace(scratch, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(scratch)


def frame(rows: Iterable[dict[str, Any]], classes: Sequence[str]) -> pd.DataFrame:
    """The same table in memory; ``path``, ``label`` and ``error`` have pandas' dtype ``string``."""
    import pandas as pd
    import pyarrow as pa

    table = pa.Table.from_pylist([_flat(row, classes) for row in rows], schema=_schema(classes))
    frame: pd.DataFrame = table.to_pandas()
    return frame.astype(dict.fromkeys(("path", "label", "error"), pd.StringDtype()))


def _schema(classes: Sequence[str]) -> pa.Schema:
    import pyarrow as pa

    floats = [*(f"probability_{name}" for name in classes), *(f"calibrated_{name}" for name in classes)]
    text, real = pa.string(), pa.float64()
    return pa.schema(
        [("path", text), ("label", text), ("probability", real), ("error", text), *((name, real) for name in floats)]
    )


def _flat(row: dict[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    flat = {name: row.get(name) for name in ("path", "label", "probability")} | {"error": row.get("error", "")}
    for prefix, key in (("probability", "probabilities"), ("calibrated", "calibrated")):
        values = row.get(key)
        if values is not None:
            flat |= {f"{prefix}_{name}": values[name] for name in classes}
    return flat


def _writer(path: str, kind: str, schema: pa.Schema) -> Any:
    if kind == ".csv":
        from pyarrow import csv

        return csv.CSVWriter(path, schema)
    import pyarrow.parquet as pq

    return pq.ParquetWriter(path, schema, compression="zstd")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
