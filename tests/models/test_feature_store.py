"""Stored features: by digest, shared by processes, bounded, whole after a kill."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

from hallmark.contracts.errors import MachineError
from hallmark.models import feature_store

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def values(*numbers: int, width: int = 4) -> NDArray[np.float32]:
    return np.array([[number + 0.1 * column for column in range(width)] for number in numbers], np.float32)


def names(start: int, stop: int) -> list[str]:
    return [f"{number:08x}" for number in range(start, stop)]


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "features.sqlite"
    assert feature_store.read(path, ["a"]) == {}
    assert not path.exists()
    digests = names(0, 1200)
    feature_store.write(path, digests, values(*range(1200)))
    asked = [*digests[::2], "unknown"]
    known = feature_store.read(path, asked)
    assert set(known) == set(digests[::2])
    np.testing.assert_array_equal(known[digests[700]], values(700)[0])
    assert known[digests[700]].dtype == np.float32


def test_the_first_value_of_a_digest_stays(tmp_path: Path) -> None:
    path = tmp_path / "features.sqlite"
    feature_store.write(path, ["a"], values(1))
    feature_store.write(path, ["a", "b"], values(7, 2))
    known = feature_store.read(path, ["a", "b"])
    np.testing.assert_array_equal(np.stack([known["a"], known["b"]]), values(1, 2))


def test_the_oldest_are_deleted_beyond_the_bound(tmp_path: Path) -> None:
    path = tmp_path / "features.sqlite"
    for start in range(0, 10, 2):
        feature_store.write(path, names(start, start + 2), values(start, start + 1), most_bytes=5 * 16 + 15)
    assert set(feature_store.read(path, names(0, 10))) == set(names(5, 10))


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "features.sqlite"
    feature_store.write(path, ["a"], values(1))
    with pytest.raises(ValueError, match="shorter"):
        feature_store.write(path, ["b", "c"], values(2))
    assert set(feature_store.read(path, ["a", "b", "c"])) == {"a"}


def test_writers_wait_for_each_other(tmp_path: Path) -> None:
    path = tmp_path / "features.sqlite"

    def write(writer: int) -> None:
        for part in range(5):
            start = 100 * writer + 10 * part
            feature_store.write(path, names(start, start + 10), values(*range(start, start + 10)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert len(feature_store.read(path, names(0, 400))) == 4 * 50


def test_a_damaged_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "features.sqlite"
    path.write_bytes(b"no database, but longer than its header of 100 bytes" * 4)
    with pytest.raises(MachineError, match=r"features\.sqlite cannot be used: file is not a database"):
        feature_store.read(path, ["a"])


def test_a_full_disk_is_an_error_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "features.sqlite"
    feature_store.write(path, ["a"], values(1))
    connect = sqlite3.connect

    def small(*args: object, **options: object) -> sqlite3.Connection:
        file: sqlite3.Connection = connect(*args, **options)  # type: ignore[call-overload]
        file.execute("PRAGMA max_page_count = 4")
        return file

    monkeypatch.setattr(sqlite3, "connect", small)
    with pytest.raises(MachineError, match="database or disk is full"):
        feature_store.write(path, names(0, 500), values(*range(500), width=64))
    monkeypatch.undo()
    assert set(feature_store.read(path, ["a", *names(0, 500)])) == {"a"}
