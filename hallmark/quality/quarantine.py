"""Export of the original bytes of quarantined files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from hallmark.contracts import tables
from hallmark.contracts.errors import InputError
from hallmark.contracts.reasons import split_reasons
from hallmark.images.shards import Reader

if TYPE_CHECKING:
    from pathlib import Path


def save_quarantined(root: Path, folder: Path) -> tuple[int, list[str]]:
    """Writes every quarantined file as ``folder/<first reason>/<its path>``, byte for byte.

    Returns the number written, and the paths whose bytes ingest could not read or did not store (too large). Raises
    InputError without a ledger or if the folder is not empty.
    """
    ledger, manifest = root / "reports" / "ledger.csv", root / "data" / "ingest" / "manifest.parquet"
    if not ledger.exists():
        # the ledger of a refused set is in the refusal's folder
        ledger = next(iter(sorted((root / ".hallmark" / "refusals").glob("*/ledger.csv"))), ledger)
    if not ledger.exists() or not manifest.exists():
        raise InputError("there is no ledger of a data set", remedy="run `hallmark run` first")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"'{folder}' is no empty folder", remedy="give a folder that is new or empty")
    rows = pd.read_csv(ledger, dtype="string", keep_default_na=False)
    rows = rows[rows["fate"] == "quarantined"]
    positions = tables.read_table(manifest, tables.MANIFEST)[["path", "shard", "row"]]
    rows = rows.merge(positions, on="path", validate="one_to_one").sort_values(["shard", "row", "path"])
    without = rows[rows["shard"] < 0]["path"].sort_values().tolist()
    stored = rows[rows["shard"] >= 0]
    with Reader(root / "data" / "ingest") as reader:
        for path, reasons, shard, row in stored[["path", "reasons", "shard", "row"]].itertuples(index=False, name=None):
            target = folder / split_reasons(reasons)[0] / _inside(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(reader.read(int(shard), int(row)))
    return len(stored), without


def _inside(path: str) -> str:
    """The path made safe below a folder: a manifest's path may lead outside it.

    >>> _inside("cat/1.png"), _inside("../../etc/x.png"), _inside("/a.png")
    ('cat/1.png', '__/__/etc/x.png', 'a.png')
    """
    return "/".join("__" if part == ".." else part for part in path.split("/") if part not in ("", "."))
