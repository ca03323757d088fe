"""The tables that stages pass to each other: column names and pandas dtypes, in order.

Every table is a Parquet file sorted by ``path``; ``path`` is the ledger's: relative to the source, POSIX.
A nullable text column is dtype ``string`` with ``pd.NA``; reasons are ``;``-joined words of
:data:`hallmark.contracts.reasons.REASONS`, empty if none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

Table = dict[str, str]

MANIFEST: Table = {
    # data/ingest/manifest.parquet: one row per file found; metadata follows in columns named meta_<name>
    "path": "string",
    "label": "string",  # the class: the commonest spelling of the label, in NFC
    "label_found": "string",  # as written in the source
    "group": "string",
    "given_split": "string",
    "size": "int64",  # bytes
    "sha256": "string",  # of the file's bytes, "" if they cannot be read
    "shard": "int32",  # images-<shard>.parquet, -1 if no bytes are stored
    "row": "int32",  # row within the shard, -1 if no bytes are stored
    "reasons": "string",  # those that ingest detects: stray_file, unlabelled, unreadable_file, missing_value ...
}

MEASUREMENTS: Table = {
    # data/validate/measurements.parquet: one row per row of MANIFEST
    "path": "string",
    "format": "string",  # Pillow's name (PNG, JPEG, ...), "" if not decodable
    "mode": "string",  # Pillow's mode as stored
    "width": "int32",  # pixels, upright; 0 if not decodable
    "height": "int32",
    "frames": "int32",
    "pixel_hash": "string",  # of the upright decoded pixels and their shape
    "phash": "uint64",  # 64-bit perceptual hash
    "sketch": "object",  # bytes: 16x16 luma, row by row; empty if not decodable
    "brightness": "float64",  # mean luma in [0, 1]
    "contrast": "float64",  # largest standard deviation of a channel, in [0, 0.5]
    "sharpness": "float64",
    "noise": "float64",
    "quarantined": "bool",
    "reasons": "string",
}

SPLIT: Table = {
    # data/split/split.parquet: one row per image that validate did not quarantine
    "path": "string",
    "label": "string",
    "group": "string",
    "split": "string",  # train, val, test
    "cluster": "string",  # the smallest path in the image's duplicate cluster (its own if none)
    "cluster_size": "int32",
    "representative": "bool",
    "reasons": "string",  # exact_duplicate, near_duplicate, conflicting_duplicate, split_leak
}

DECISIONS: Table = {
    # data/clean/decisions.parquet: one row per row of SPLIT
    "path": "string",
    "label": "string",  # the label for training, after relabelling
    "found_label": "string",
    "split": "string",
    "fate": "string",  # kept, flagged, relabelled, removed
    "stage": "string",  # the stage that decided, "" if kept
    "reasons": "string",
    "weight": "float64",  # loss weight, 1.0 unless down-weighted
    "outlier_score": "float64",  # NaN if not measured
    "label_quality": "float64",  # NaN if not measured
    "suggested_label": "string",
}

PLAN: Table = {
    # data/balance/plan.parquet: one row per training image (split train, fate not removed)
    "path": "string",
    "label": "string",
    "repeats": "int32",  # times per epoch, 0 excludes the image
    "weight": "float64",  # loss weight
    "probability": "float64",  # sampling probability, sums to 1; used only by weighted samplers
}

SYNTHETIC: Table = {
    # data/synthesize/manifest.parquet: one row per image that passed the gates; may have no rows
    "path": "string",  # synthetic/<label>/<number>.png
    "label": "string",
    "shard": "int32",
    "row": "int32",
    "origin": "string",  # the generator's name
    "nearest_distance": "float64",  # to the nearest training image
    "agreement": "float64",  # probability of the requested label under a classifier of real images
}

CLUSTERS: Table = {
    # data/evaluate/clusters.parquet: one row per test image
    "path": "string",
    "cluster": "string",  # as in SPLIT
}

LEDGER: Table = {
    # reports/ledger.csv: one row per file found in the source
    "path": "string",
    "label": "string",
    "split": "string",
    "group": "string",
    "fate": "string",
    "stage": "string",
    "reasons": "string",
}


def conform(frame: pd.DataFrame, table: Table) -> pd.DataFrame:
    """The frame sorted by path, with the table's typed columns in order and extra columns after them.

    Raises AssertionError if a column is missing or a path occurs twice: both are our mistakes.
    """
    missing = [name for name in table if name not in frame.columns]
    assert not missing, f"table lacks columns {missing}"
    extra = [name for name in frame.columns if name not in table]
    out = frame[[*table, *extra]].astype(table).sort_values("path", kind="stable", ignore_index=True)
    assert out["path"].is_unique, "a path occurs twice"
    return out


def write_table(frame: pd.DataFrame, table: Table, path: Path) -> None:
    """Writes a conformed table as Parquet: the same frame gives the same bytes."""
    conform(frame, table).to_parquet(path, engine="pyarrow", index=False, compression="zstd")


def read_table(path: Path, table: Table) -> pd.DataFrame:
    """Reads a table written by :func:`write_table` and checks its columns."""
    import pandas as pd

    return conform(pd.read_parquet(path, engine="pyarrow"), table)


def one_of_each_cluster(table: pd.DataFrame) -> pd.DataFrame:
    """One row of each duplicate cluster, in order: its representative, else its first row by path.

    The table has the columns path, cluster and representative.
    """
    first = table.sort_values(["representative", "path"], ascending=[False, True]).drop_duplicates("cluster")
    return table[table.index.isin(first.index)]
