from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING

import pandas as pd

from hallmark.contracts.telemetry import collect
from hallmark.quality import isolation, measured_set
from hallmark.quality.isolation import Limits
from tests.quality.test_measurement import encoded, photo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

LIMITS = Limits(max_pixels=10**6, seconds=20, memory_mib=1024)


class Store:
    """Files in memory that count how often they are read."""

    def __init__(self, files: list[bytes]) -> None:
        self.files, self.reads = files, 0

    def rows(self, pairs: list[tuple[int, int]]) -> Iterator[bytes]:
        for _, row in pairs:
            self.reads += 1
            yield self.files[row]

    def manifest(self) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "path": [f"{n:03d}" for n in range(len(self.files))],
                "sha256": [hashlib.sha256(data).hexdigest() for data in self.files],
                "shard": [0 if data else -1 for data in self.files],
                "row": range(len(self.files)),
            }
        )


def files(count: int) -> list[bytes]:
    images = [encoded(photo(seed, 24)) for seed in range(count)]
    return [*images, images[0], b"no image", b""]


def measured(store: Store, cache: Path, workers: int = 1) -> pd.DataFrame:
    return measured_set.measure_set(store.manifest(), store.rows, LIMITS, cache=cache, workers=workers)


def test_one_more_image_costs_one_more_measurement(tmp_path: Path) -> None:
    first = Store(files(10))
    before = measured(first, tmp_path)
    assert first.reads == 11, "a copy is measured once, a file without bytes not at all"
    grown = Store(files(11))
    with collect() as notes:
        after = measured(grown, tmp_path)
    assert grown.reads == 2, "the new one, and the one that did not decode"
    assert notes["images_remembered"] == 10
    pd.testing.assert_frame_equal(before.iloc[:10], after.iloc[:10])


def test_deleting_or_tearing_the_cache_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(files(6))
    fresh = measured(store, tmp_path)
    pd.testing.assert_frame_equal(fresh, measured(store, tmp_path))
    cache = tmp_path / measured_set.FILE
    whole = cache.read_bytes()
    cache.write_bytes(whole[: len(whole) // 2])
    with caplog.at_level(logging.WARNING):
        pd.testing.assert_frame_equal(fresh, measured(store, tmp_path))
    assert "is rebuilt" in caplog.text
    assert cache.read_bytes() == whole
    cache.unlink()
    pd.testing.assert_frame_equal(fresh, measured(store, tmp_path))


def test_other_code_or_a_lower_limit_measures_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(files(3))
    measured(store, tmp_path)
    tight = Limits(max_pixels=100, seconds=20, memory_mib=1024)
    refused = measured_set.measure_set(store.manifest(), store.rows, tight, cache=tmp_path, workers=1)
    assert refused["failure"].tolist() == ["decompression_bomb"] * 4 + ["not_an_image", ""]
    monkeypatch.setattr(measured_set, "code_key", lambda bits: "other")
    store.reads = 0
    measured(store, tmp_path)
    assert store.reads == 4


def test_a_row_without_bytes_has_no_measurements(tmp_path: Path) -> None:
    last = measured(Store(files(2)), tmp_path).iloc[-1]
    assert (last["width"], last["pixel_hash"], last["failure"]) == (0, "", "")
    assert pd.isna(last["brightness"])


def test_the_number_of_workers_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(files(30))
    here = measured(store, tmp_path / "here")
    monkeypatch.setattr(isolation, "FEW_IMAGES", 0)
    monkeypatch.setattr(isolation, "CHUNK_IMAGES", 7)
    for workers in (1, 3):
        pd.testing.assert_frame_equal(here, measured(store, tmp_path / str(workers), workers))
    assert (tmp_path / "1" / measured_set.FILE).read_bytes() == (tmp_path / "3" / measured_set.FILE).read_bytes()
