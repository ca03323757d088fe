"""Rows of `hallmark predict`: one per file, in order, even if some files are bad."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hallmark.contracts.errors import InputError, MachineError
from hallmark.images.guard import Limits
from hallmark.serving import paths, scores
from hallmark.serving import predict as predicting
from hallmark.serving.answers import answer
from hallmark.statistics.temperature import rescaled

LIMITS = Limits(max_pixels=10**6, seconds=600, memory_mib=512)


def rows(train: Path, *names: str, workers: int = 2, limits: Limits = LIMITS) -> list[dict[str, Any]]:
    predicted = predicting.predict(paths.expand(names), model_uri=str(train), limits=limits, workers=workers)
    assert predicted.classes == ["cat", "dog", "owl"]
    return list(predicted.rows)


@pytest.fixture
def folder(tmp_path: Path, picture: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for number in range(9):
        (tmp_path / "in" / f"{number}.png").write_bytes(picture)
    (tmp_path / "in" / "3.png").write_bytes(b"")
    (tmp_path / "in" / "5.png").write_bytes(picture[:60])
    buffer = io.BytesIO()
    Image.new("1", (1001, 1000)).save(buffer, "PNG")
    (tmp_path / "in" / "7.png").write_bytes(buffer.getvalue())
    return tmp_path


def test_a_row_for_each_file_whatever_the_workers(train: Path, folder: Path) -> None:
    results = rows(train, "in", "no.png", "in/0.png")
    assert [row["path"] for row in results] == [*(f"in/{number}.png" for number in range(9)), "no.png", "in/0.png"]
    errors = {row["path"]: row["error"] for row in results if "error" in row}
    assert set(errors) == {"in/3.png", "in/5.png", "in/7.png", "no.png"}
    assert errors["in/3.png"] == "cannot be decoded: empty_file: the file has no bytes"
    assert "decompression_bomb: it declares 1001 x 1000 pixels" in errors["in/7.png"]
    assert results[0] == {**results[-1], "path": "in/0.png"}
    assert rows(train, "in", "no.png", "in/0.png", workers=1) == results


def test_a_file_that_takes_too_long_loses_only_its_own_row(train: Path, folder: Path) -> None:
    (folder / "in" / "3.png").write_bytes(progressive(300_000))
    limits = Limits(max_pixels=10**9, seconds=3, memory_mib=512)
    results = rows(train, "in/2.png", "in/3.png", "in/4.png", limits=limits)
    assert ["error" in row for row in results] == [False, True, False]
    assert results[1]["error"] == "cannot be decoded: corrupt: it takes longer than 3 seconds"


@pytest.mark.parametrize("kind", scores.KINDS)
def test_a_table(train: Path, folder: Path, kind: str) -> None:
    results = rows(train, "in")
    path = folder / f"scores{kind}"
    assert list(scores.written(results, ["cat", "dog", "owl"], path)) == results
    table = pd.read_parquet(path) if kind == ".parquet" else pd.read_csv(path)
    assert table.columns.tolist()[:5] == ["path", "label", "probability", "error", "probability_cat"]
    assert table["probability_dog"][0] == results[0]["probabilities"]["dog"]
    assert table["probability_dog"].isna().tolist() == ["error" in row for row in results]
    assert sorted(each.name for each in folder.iterdir()) == [".hallmark", "in", path.name]


def test_an_unfinished_table_leaves_no_file(folder: Path) -> None:
    (folder / "scores.csv").write_text("before")
    stream = scores.written(
        iter([{"path": "a", "error": "x"}, *[{"path": "b", "error": "x"}] * 5000]), [], folder / "scores.csv"
    )
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert (folder / "scores.csv").read_text() == "before"
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("name", ["scores", "scores.xlsx", "no/scores.csv", "in", f"{'a' * 300}.csv"])
def test_a_table_that_cannot_be_written_is_refused_first(folder: Path, name: str) -> None:
    (folder / "in.csv").mkdir()
    with pytest.raises(InputError, match="--out"):
        scores.check(folder / name)
    with pytest.raises(InputError, match="is a folder"):
        scores.check(folder / "in.csv")


def test_an_unwritable_folder_is_a_machine_error() -> None:
    with pytest.raises(MachineError, match=r"--out /proc/scores\.csv cannot be written"):
        scores.check(Path("/proc/scores.csv"))


def test_a_line_is_one_line_whatever_the_name() -> None:
    row = {"path": "a\tb\n\x1b[31m\u2028é.png", "label": "cat\r", "probability": 0.5, "calibrated": None}
    assert predicting.line(row) == "a\\tb\\n\\x1b[31m\\u2028é.png\tcat\\r\t0.500"


def test_calibration_is_a_temperature_on_the_logits() -> None:
    logits = np.array([2.0, -1.0, 0.5])
    raw = np.exp(logits) / np.exp(logits).sum()
    wanted = np.exp(logits / 1.7) / np.exp(logits / 1.7).sum()
    assert rescaled(raw, 1.7) == pytest.approx(wanted)
    assert rescaled(np.array([1.0, 0.0]), 2.0).tolist() == [1.0, 0.0]
    result = answer(raw, ["a", "b", "c"], 1.7)
    assert (result["label"], result["probabilities"]["a"]) == ("a", raw[0])
    assert result["calibrated"]["a"] == pytest.approx(wanted[0])
    assert answer(raw, ["a", "b", "c"], None)["calibrated"] is None


def progressive(size: int) -> bytes:
    """A JPEG of few colours and many progressive scans over 89 megapixels, which takes minutes to decode."""
    buffer = io.BytesIO()
    Image.new("L", (16, 16), 128).save(buffer, "JPEG", progressive=True, quality=50)
    data = bytearray(buffer.getvalue())
    struct.pack_into(">HH", data, data.find(b"\xff\xc2") + 5, 9500, 9400)
    starts = [index for index in range(len(data)) if data[index : index + 2] == b"\xff\xda"]
    head, first, second = bytes(data[: starts[0]]), data[starts[0] : starts[1]], bytes(data[starts[1] : starts[2]])
    return head + bytes(first) + second * (size // len(second)) + b"\xff\xd9"
