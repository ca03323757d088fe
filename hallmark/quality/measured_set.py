"""The measurements of a whole set, with a cache that measures each file content once.

``measurements.parquet`` in the cache folder holds results by SHA-256 of the file, for the current code: one more image
costs one more measurement. Only decodable contents are cached; deleting or damaging the file costs only time.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import logging
import os
import time
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pandas as pd
import PIL
import pyarrow as pa
import pyarrow.parquet as pq

from hallmark.contracts import progress
from hallmark.contracts.telemetry import note
from hallmark.images import decoding
from hallmark.quality import measurement
from hallmark.quality.isolation import measure_all
from hallmark.quality.measurement import COLUMNS, Measured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Executor
    from pathlib import Path

    from hallmark.quality.isolation import Limits

log = logging.getLogger(__name__)

FILE = "measurements.parquet"
KEY = b"hallmark_code"


def code_key(bits: int = 16) -> str:
    """A digest of what measurements depend on besides the file: our code, the libraries, the set's bit depth."""
    digest = hashlib.sha256()
    for module in (measurement, decoding):
        digest.update(inspect.getsource(module).encode())
    digest.update(f"{bits} bits pillow {PIL.__version__} opencv {cv2.__version__} numpy {np.__version__}".encode())
    return digest.hexdigest()


def measure_set(
    manifest: pd.DataFrame,
    read: Callable[[list[tuple[int, int]]], Iterable[bytes]],
    limits: Limits,
    *,
    cache: Path,
    workers: int,
    bits: int = 16,
    executor: Executor | None = None,
) -> pd.DataFrame:
    """Measurements of every row of a manifest, in order: ``path`` and the columns of :class:`Measured`.

    ``read`` returns the stored bytes of (shard, row) pairs in order. A row without stored bytes has no
    measurements and no ``failure``. ``bits`` as in :func:`hallmark.images.decoding.decode`.
    """
    began = time.monotonic()
    stored = manifest[manifest["shard"] >= 0].drop_duplicates("sha256").sort_values(["shard", "row"])
    cached = _load(cache / FILE, bits)
    usable = cached[cached["width"].astype("int64") * cached["height"] <= limits.max_pixels]
    todo = stored[~stored["sha256"].isin(usable.index)]
    pairs = list(zip(todo["shard"].tolist(), todo["row"].tolist(), strict=True))
    measure_one = functools.partial(measurement.measure, bits=bits)
    results = measure_all(read(pairs), limits, workers=workers, executor=executor, measure_one=measure_one)
    measured = list(progress.counted(results, "measuring images", len(pairs)))
    fresh = _frame(todo["sha256"].tolist(), measured)
    _save(cache / FILE, cached, fresh[fresh["failure"] == ""], len(stored), bits)
    seconds = time.monotonic() - began
    note(images_measured=len(todo), images_remembered=len(stored) - len(todo))
    if pairs:
        note(images_per_second=round(len(pairs) / max(seconds, 1e-9), 1))
    by_content = pd.concat([usable[usable.index.isin(stored["sha256"])], fresh])
    nothing = pd.DataFrame([Measured().row()], index=pd.Index([""], name="sha256"), columns=list(COLUMNS))
    contents = manifest["sha256"].where(manifest["shard"] >= 0, "")
    rows = pd.concat([by_content, nothing]).astype({"phash": "uint64"}).loc[contents.tolist()]
    return rows.assign(path=manifest["path"].to_numpy()).reset_index(drop=True)[["path", *COLUMNS]]


def _frame(contents: list[str], measured: list[Measured]) -> pd.DataFrame:
    columns: dict[str, Any] = {name: [getattr(one, name) for one in measured] for name in COLUMNS}
    index = pd.Index(contents, dtype="str", name="sha256")
    return pd.DataFrame(columns, index=index, columns=list(COLUMNS)).astype(_types())


def _types() -> dict[str, str]:
    text = dict.fromkeys(("format", "mode", "pixel_hash", "failure"), "str")
    whole = dict.fromkeys(("width", "height", "frames", "peak"), "int32")
    real = dict.fromkeys(("brightness", "contrast", "sharpness", "noise"), "float64")
    return text | whole | real | {"phash": "uint64", "sketch": "object"}


def _load(path: Path, bits: int) -> pd.DataFrame:
    if not path.exists():
        return _frame([], [])
    try:
        table = pq.read_table(path)
        if (table.schema.metadata or {}).get(KEY) != code_key(bits).encode():
            return _frame([], [])
        frame = table.to_pandas(ignore_metadata=True).set_index("sha256")
        typed: pd.DataFrame = frame[list(COLUMNS)].astype(_types())
        return typed
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        log.warning("the cache of measurements cannot be read and is rebuilt: %s: %s", path, error)
        return _frame([], [])


def _save(path: Path, cached: pd.DataFrame, fresh: pd.DataFrame, in_use: int, bits: int) -> None:
    if fresh.empty:
        return
    # contents of sets no longer in use must not accumulate
    retained = cached if len(cached) <= 4 * in_use + 100_000 else cached.iloc[:0]
    frame = pd.concat([retained[~retained.index.isin(fresh.index)], fresh]).sort_index()
    table = pa.Table.from_pandas(frame.reset_index(), preserve_index=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    pq.write_table(table.replace_schema_metadata({KEY: code_key(bits).encode()}), partial, compression="zstd")
    os.replace(partial, path)
