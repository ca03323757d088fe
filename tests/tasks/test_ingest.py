"""ingest stores every byte once and says of every file what it found, the same each time."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hallmark.contracts.errors import InputError
from hallmark.contracts.tables import MANIFEST, read_table
from hallmark.contracts.telemetry import collect
from hallmark.images.shards import Reader
from tasks import ingest
from tasks.ingest import Params, Report

if TYPE_CHECKING:
    from pathlib import Path


def png(value: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (3, 2), value).save(file, "PNG")
    return file.getvalue()


FILES = {
    **{f"cat/{number:02d}.png": png(number) for number in range(20)},
    **{f"dog/{number:02d}.png": png(100 + number) for number in range(10)},
    "dog/empty.png": b"",
    "dog/large.png": bytes(5000),
    "dog/.DS_Store": b"x",
    "notes.txt": b"y",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, data in FILES.items():
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (tmp_path / "source/cat/broken.png").symlink_to("nowhere")
    return tmp_path / "source"


DEFAULTS: dict[str, Any] = {
    "layout": "auto",
    "images": "data/none",
    "follow_outside": False,
    "max_file_bytes": 1,
    "max_files": 1000,
    "max_expanded_bytes": 2**40,
    "max_expansion": 200.0,
    "max_line_bytes": 2**20,
    "sample_bits": "auto",
}


def run(source: Path, out: Path, limit: int = 4096, **more: Any) -> tuple[Report, pd.DataFrame]:
    out.mkdir()
    report = ingest.run(Params(**{**DEFAULTS, "source": str(source), "max_file_bytes": limit, **more}), ingest=out)
    return report, read_table(out / "manifest.parquet", MANIFEST)


def outputs(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_every_file_has_a_row_and_its_bytes(folder: Path, tmp_path: Path) -> None:
    _, manifest = run(folder, tmp_path / "out")
    rows = manifest.set_index("path")
    assert set(rows.index) == {*FILES, "cat/broken.png"}
    assert manifest["path"].is_monotonic_increasing
    with Reader(tmp_path / "out") as reader:
        for path, data in FILES.items():
            assert rows.at[path, "size"] == len(data)
            if path != "dog/large.png":
                assert reader.read(int(rows["shard"][path]), int(rows["row"][path])) == data
                assert rows.at[path, "sha256"] == hashlib.sha256(data).hexdigest()
    expected = {
        "dog/large.png": "too_large",
        "dog/.DS_Store": "stray_file",
        "notes.txt": "stray_file",
        "cat/broken.png": "unreadable_file",
    }
    assert {
        path: reasons for path, reasons in zip(manifest["path"], manifest["reasons"], strict=True) if reasons
    } == expected
    for path in ("dog/large.png", "cat/broken.png"):
        assert (rows["sha256"][path], rows["shard"][path], rows["row"][path]) == ("", -1, -1)
    labels = dict(zip(manifest["path"], manifest["label"].fillna(""), strict=True))
    assert labels == {path: path.split("/")[0] if "/" in path else "" for path in labels}
    assert rows[["group", "given_split"]].isna().all(axis=None)


def test_the_report_reconciles_and_is_plain(folder: Path, tmp_path: Path) -> None:
    report, manifest = run(folder, tmp_path / "out")
    plain = dataclasses.asdict(report)
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert report.kind == "class_folders"
    assert report.n_files == len(manifest) == sum(report.classes.values()) + report.unlabelled
    assert report.classes == {"cat": 21, "dog": 13}
    assert report.n_stored == len(FILES) - 1
    assert report.n_bytes == sum(map(len, FILES.values()))
    assert report.reasons == {"stray_file": 2, "too_large": 1, "unreadable_file": 1}
    assert report.shards == 1
    assert str(tmp_path) not in json.dumps(plain)
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_same_source_same_bytes_for_any_worker_count(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, _ = run(folder, tmp_path / "one")
    monkeypatch.setenv("HALLMARK_WORKERS", "7")
    monkeypatch.setattr("hallmark.images.folders._CHUNK_FILES", 2)
    again, _ = run(folder, tmp_path / "two")
    assert again == report
    assert outputs(tmp_path / "two") == outputs(tmp_path / "one")


def test_an_archive_holds_the_same_content_as_its_folder(folder: Path, tmp_path: Path) -> None:
    (folder / "cat/broken.png").unlink()
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        for name in reversed(FILES):
            archive.write(folder / name, name)
    one, manifest = run(folder, tmp_path / "one")
    two, packed = run(tmp_path / "s.zip", tmp_path / "two")
    assert (one.digest, one.classes, one.reasons) == (two.digest, two.classes, two.reasons)
    assert (one.packed, two.packed) == ("", "zip")
    pd.testing.assert_frame_equal(manifest.drop(columns=["row"]), packed.drop(columns=["row"]))


def test_files_of_equal_bytes_are_stored_once(tmp_path: Path) -> None:
    one, other = png(1), png(2)
    files = {
        "cat/a.png": one,
        "cat/b.png": other,
        "cat/c.png": one,
        "dog/a.png": one,
        "dog/d.png": b"",
        "dog/e.png": b"",
    }
    for name, data in files.items():
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    report, manifest = run(tmp_path / "source", tmp_path / "out")
    assert (report.n_files, report.n_stored, report.n_bytes) == (6, 3, sum(map(len, files.values())))
    with Reader(tmp_path / "out") as reader:
        for path, shard, row in manifest[["path", "shard", "row"]].itertuples(index=False, name=None):
            assert reader.read(shard, row) == files[path]
    assert len({*zip(manifest["shard"], manifest["row"], strict=True)}) == 3


def test_paths_outside_are_rows_and_nobody_has_to_watch_them(tmp_path: Path) -> None:
    for name in ("set/a.png", "else/b.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(png(1))
    (tmp_path / "set/m.csv").write_text("path,label\na.png,x\n../else/b.png,y\n")
    report, manifest = run(tmp_path / "set/m.csv", tmp_path / "out")
    assert dict(zip(manifest["path"], manifest["reasons"], strict=True)) == {
        "a.png": "",
        "../else/b.png": "outside_source",
    }
    assert (report.reasons, report.unwatched, report.n_stored) == ({"outside_source": 1}, 1, 1)
    followed, _ = run(tmp_path / "set/m.csv", tmp_path / "followed", follow_outside=True)
    assert (followed.reasons, followed.unwatched) == ({}, 2)
    declared, _ = run(tmp_path / "set/m.csv", tmp_path / "declared", images=str(tmp_path))
    assert (declared.reasons, declared.unwatched) == ({}, 0)


@pytest.mark.parametrize("change", ["bytes", "name", "label"])
def test_the_digest_follows_the_content(folder: Path, tmp_path: Path, change: str) -> None:
    before, _ = run(folder, tmp_path / "before")
    match change:
        case "bytes":
            (folder / "cat/00.png").write_bytes(png(77))
        case "name":
            (folder / "cat/00.png").rename(folder / "cat/0.png")
        case _:
            (folder / "cat/00.png").rename(folder / "dog/zero.png")
    assert run(folder, tmp_path / "after")[0].digest != before.digest


def test_metadata_of_a_manifest(tmp_path: Path) -> None:
    lines = [
        "path,label,group,split,age,zip,weight,site",
        "a.png,NA,1,train,3,01234,1.5,north",
        "b.png,null,1,val,,4,,",
    ]
    (tmp_path / "m.csv").write_text("\n".join(lines))
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(png(1))
    report, manifest = run(tmp_path / "m.csv", tmp_path / "out")
    assert manifest["label"].tolist() == ["NA", "null"]
    assert manifest["group"].tolist() == ["1", "1"]
    assert manifest["given_split"].tolist() == ["train", "val"]
    np.testing.assert_array_equal(manifest["meta_age"], [3.0, np.nan])
    np.testing.assert_array_equal(manifest["meta_weight"], [1.5, np.nan])
    assert manifest["meta_zip"].tolist() == ["01234", "4"]
    assert manifest["meta_site"].isna().tolist() == [False, True]
    assert report.metadata == ["age", "zip", "weight", "site"]
    assert (report.splits, report.groups) == ({"train": 1, "val": 1}, 1)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"source": " "}, "source is empty"),
        ({"images": ""}, "images is empty"),
        ({"images": "./x"}, "images and source are both 'x'"),
        ({"max_file_bytes": 0}, r"max_file_bytes is 0, outside \[1, "),
        ({"max_files": 0}, r"max_files is 0, outside \[1, "),
        ({"max_expansion": 0.5}, r"max_expansion is 0.5, outside \[1, "),
        ({"max_file_bytes": 2**40}, r"max_file_bytes is 1099511627776, outside"),
    ],
)
def test_params_check_themselves(values: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        Params(**{"source": "x", **DEFAULTS, **values})


def test_labels_of_the_same_text_are_one_class(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(
        "path,label,group\n1,caf\u00e9,7\n2,cafe\u0301,7.0\n3,caf\u00e9,8\n4,1.0,8\n5,1 ,\n6,1,01\n", encoding="utf-8"
    )
    report, manifest = run(tmp_path / "m.csv", tmp_path / "out")
    assert report.classes == {"1": 3, "caf\u00e9": 3}
    assert manifest["label_found"].tolist() == ["caf\u00e9", "cafe\u0301", "caf\u00e9", "1.0", "1 ", "1"]
    assert manifest["group"].fillna("").tolist() == ["7", "7", "8", "8", "", "01"]
    for name in ("caf\u00e9", "cafe\u0301", "dog", "dog "):
        (tmp_path / "f" / name).mkdir(parents=True)
        (tmp_path / "f" / name / "1.png").write_bytes(b"x")
    report, manifest = run(tmp_path / "f", tmp_path / "out2")
    assert report.classes == {"caf\u00e9": 2, "dog": 2}
    assert set(manifest["label_found"]) == {"caf\u00e9", "cafe\u0301", "dog", "dog "}


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^source: there is no '.*nowhere'; give a folder of class folders"):
        run(tmp_path / "nowhere", tmp_path / "out")


def test_the_rate_is_noted_and_in_no_output(folder: Path, tmp_path: Path) -> None:
    with collect() as notes:
        report, _ = run(folder, tmp_path / "out")
    rate = notes["samples_per_second"]
    assert isinstance(rate, float)
    assert rate > 0
    assert "samples_per_second" not in dataclasses.asdict(report)
