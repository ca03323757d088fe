"""Parquet shards in a folder or an archive, as the hub has them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hallmark.contracts.errors import InputError
from hallmark.images.sources import open_source
from tests.images.conftest import lay, pack, png
from tests.images.test_sources import rows_of

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ["cat", "dog"]


def shard(path: Path, labels: list[Any], *, names: list[str] | None = NAMES, shade: int = 0, **columns: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [{"bytes": png(shade + number), "path": f"{number}.png"} for number in range(len(labels))]
    feature = {"_type": "ClassLabel", "names": names} if names else {"_type": "Value", "dtype": "int64"}
    features = {"image": {"_type": "Image"}, "label": feature}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(pa.table({"image": images, "label": labels, **columns}).replace_schema_metadata(metadata), path)


@pytest.mark.parametrize("packed", ["", ".zip", ".tar.gz"])
def test_a_snapshot_of_the_hub(tmp_path: Path, packed: str) -> None:
    folder = tmp_path / "set"
    shard(folder / "data/train-00000-of-00002.parquet", [0, 1])
    shard(folder / "data/train-00001-of-00002.parquet", [1], names=None, shade=5)
    shard(folder / "data/test-00000-of-00001.parquet", [-1] * 11, shade=9)
    lay(folder, {"README.md": b"# set", ".gitattributes": b""})
    source = str(folder)
    if packed:
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        source = str(pack(tmp_path / f"set{packed}", files))
    assert open_source(source).kind == "parquet_shards"
    entries = rows_of(source)
    assert {path: row for path, row in entries.items() if "test-" not in path} == {
        ".gitattributes": (None, None, "stray_file", b""),
        "README.md": (None, None, "stray_file", b"# set"),
        "data/train-00000-of-00002.parquet/row:0": ("cat", "train", "", png(0)),
        "data/train-00000-of-00002.parquet/row:1": ("dog", "train", "", png(1)),
        "data/train-00001-of-00002.parquet/row:0": ("dog", "train", "", png(5)),
    }
    assert {row[:3] for path, row in entries.items() if "test-" in path} == {(None, "test", "unlabelled")}
    assert entries["data/test-00000-of-00001.parquet/row:10"][3] == png(19)


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["plain/train-00000-of-00001.parquet", "plain/validation-00000-of-00001.parquet"], ["train", "val"]),
        (["default/test/0000.parquet", "default/train/0000.parquet"], ["test", "train"]),
        (["mnist_test.parquet", "mnist_train.parquet"], ["test", "train"]),
        (["dev.parquet", "train.parquet"], ["val", "train"]),
        (["part-0.parquet", "part-1.parquet"], [None, None]),
        (["data/0000.parquet"], [None]),
    ],
)
def test_the_split_of_a_shard(tmp_path: Path, names: list[str], wanted: list[str | None]) -> None:
    for name in names:
        shard(tmp_path / name, [0])
    entries = rows_of(str(tmp_path))
    assert [(path, row[1]) for path, row in entries.items()] == [
        (f"{name}/row:0", split) for name, split in zip(names, wanted, strict=True)
    ]


def test_a_split_column_counts_more(tmp_path: Path) -> None:
    shard(tmp_path / "train.parquet", [0, 1], split=["test", None])
    assert [row[1] for row in rows_of(str(tmp_path)).values()] == ["test", "train"]


def test_doubtful_snapshots(tmp_path: Path) -> None:
    shard(tmp_path / "one/small/train-00000-of-00001.parquet", [0])
    shard(tmp_path / "one/large/train-00000-of-00001.parquet", [0])
    with pytest.raises(InputError, match=r"the shards of 2 data sets: large, small; .*ingest\.source=.*one/small"):
        open_source(str(tmp_path / "one"))
    shard(tmp_path / "two/data/train-00000-of-00001.parquet", [0])
    shard(tmp_path / "two/data/extra-00000-of-00001.parquet", [0])
    with pytest.raises(InputError, match=r"data/extra-.* mentions no split in its name.*rename it"):
        open_source(str(tmp_path / "two"))
    shard(tmp_path / "three/train.parquet", [[0], [0, 1]], names=None)
    with pytest.raises(InputError, match=r"train\.parquet is multi-label: its column 'label' is of type list"):
        open_source(str(tmp_path / "three"))
    lay(tmp_path / "four", {"train.parquet": b"PAR1 torn"})
    with pytest.raises(InputError, match=r"train\.parquet is not a Parquet file"):
        open_source(str(tmp_path / "four"))
