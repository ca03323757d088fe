"""Shards give back what was written, in few files, with the same bytes each time."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hallmark.contracts.errors import InputError
from hallmark.images import shards
from hallmark.images.shards import Reader, ShardPosition, write

if TYPE_CHECKING:
    from pathlib import Path

ITEMS = st.lists(st.tuples(st.text(max_size=8), st.binary(max_size=40)), max_size=60)


@settings(max_examples=40)
@given(items=ITEMS, group_rows=st.integers(1, 7), group_bytes=st.integers(1, 90), shard_bytes=st.integers(1, 300))
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory,
    items: list[tuple[str, bytes]],
    group_rows: int,
    group_bytes: int,
    shard_bytes: int,
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "GROUP_ROWS", group_rows)
        patch.setattr(shards, "GROUP_BYTES", group_bytes)
        patch.setattr(shards, "SHARD_BYTES", shard_bytes)
        places = write(folder, iter(items))
    assert len(places) == len(items)
    assert places == sorted(places)
    assert len(list(folder.iterdir())) == len({place.shard for place in places}) <= shards.MOST_SHARDS
    with Reader(folder) as reader:
        assert list(reader.rows(places)) == [data for _, data in items]
        backwards = list(reversed(places))
        assert list(reader.rows(backwards)) == [data for _, data in reversed(items)]


def test_same_items_same_bytes(tmp_path: Path) -> None:
    items = [(f"{number}.png", bytes([number % 256]) * 700) for number in range(3000)]
    digests = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, items)
        digests.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted((tmp_path / name).iterdir())])
    assert digests[0] == digests[1]


def test_never_more_than_eight_shards_and_equal_where_size_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD_BYTES", 1000)
    items = [(str(number), b"x" * 100) for number in range(1600)]
    places = write(tmp_path, items, expected_bytes=160_000)
    counts = [sum(place.shard == shard for place in places) for shard in range(8)]
    assert counts == [200] * 8
    (tmp_path / "unknown").mkdir()
    assert {place.shard for place in write(tmp_path / "unknown", items)} == set(range(8))


def test_layout_is_that_of_hugging_face(tmp_path: Path) -> None:
    write(tmp_path, [("cat/a b.png", b"bytes")])
    table = pq.read_table(tmp_path / "images-00000.parquet")
    assert str(table.schema.field("image").type) == "struct<bytes: binary, path: string>"
    assert table.to_pylist() == [{"image": {"bytes": b"bytes", "path": "cat/a b.png"}}]
    assert b'"_type": "Image"' in table.schema.metadata[b"huggingface"]


def test_row_groups_are_small(tmp_path: Path) -> None:
    write(tmp_path, [(str(number), bytes(300_000)) for number in range(20)])
    metadata = pq.ParquetFile(tmp_path / "images-00000.parquet").metadata
    assert max(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups)) < 2**21


def test_a_failing_source_of_items_is_reported(tmp_path: Path) -> None:
    def items() -> object:
        yield "a", b"1"
        raise OSError("the source went away")

    with pytest.raises(OSError, match="went away"):
        write(tmp_path, items())  # type: ignore[arg-type]


def test_missing_rows_and_shards_are_reported(tmp_path: Path) -> None:
    assert write(tmp_path, []) == []
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match=r"images-00000\.parquet cannot be read"):
        Reader(tmp_path).read(0, 0)
    assert write(tmp_path, [("a", b"")]) == [ShardPosition(0, 0)]
    with Reader(tmp_path) as reader:
        assert reader.read(0, 0) == b""
        for row in (-1, 1):
            with pytest.raises(InputError, match=f"no row {row}, only 1"):
                reader.read(0, row)
