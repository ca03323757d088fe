"""The sample alternates between classes and is stable as data grow; its pixels do not depend on the worker count."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from PIL import Image

from hallmark.contracts import runtime
from hallmark.images import shards
from hallmark.transforms.sample import chosen, common_shape, pixels

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def rows(counts: dict[str, int]) -> pd.DataFrame:
    named = [(f"{label}/{index}.png", label) for label, count in counts.items() for index in range(count)]
    return pd.DataFrame(named, columns=["path", "label"])


def test_classes_take_turns_and_few_change_when_data_grow() -> None:
    small = chosen(rows({"a": 50, "b": 3, "c": 50}), limit=30, seed=0)
    assert sorted(small["label"][:3]) == ["a", "b", "c"]
    assert (small["label"] == "b").sum() == 3
    assert len(small) == 30
    grown = chosen(rows({"a": 51, "b": 3, "c": 50}), limit=30, seed=0)
    assert len(set(small["path"]) - set(grown["path"])) <= 1
    assert set(small["path"]) != set(chosen(rows({"a": 50, "b": 3, "c": 50}), limit=30, seed=1)["path"])
    assert len(chosen(rows({"a": 2}), limit=30, seed=0)) == 2


def test_pixels_come_in_the_order_asked_and_in_one_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = []
    for index in range(9):
        file = io.BytesIO()
        Image.new("L" if index else "RGB", (12, 10), index if index else (0, 0, 0)).save(file, "PNG")
        items.append((f"{index}.png", file.getvalue()))
    places = shards.write(tmp_path, items)
    table = pd.DataFrame(places, columns=["shard", "row"]).iloc[[5, 0, 8, 3]]
    with shards.Reader(tmp_path) as reader:
        assert common_shape(reader, table, limit=64) == (10, 12, 3)
        assert common_shape(reader, table.iloc[:1], limit=6) == (5, 6, 1)
        for workers in ("1", "3"):
            monkeypatch.setenv(runtime.WORKERS, workers)
            out = pixels(reader, table, (10, 12, 3))
            assert out.shape == (4, 10, 12, 3)
            assert np.unique(out.reshape(4, -1), axis=1).ravel().tolist() == [5, 0, 8, 3]
        assert pixels(reader, table.iloc[:0], (10, 12, 3)).shape == (0, 10, 12, 3)
