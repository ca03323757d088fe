"""Tables of labels beside the images, as Hugging Face and Kaggle lay them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hallmark.contracts.errors import InputError
from hallmark.images.sources import open_source
from tests.images.conftest import lay, png
from tests.images.test_sources import rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

PICTURE = png(1)


def files(*names: str, **tables: str) -> dict[str, bytes]:
    return dict.fromkeys(names, PICTURE) | {name: text.encode() for name, text in tables.items()}


def rows(source: str) -> dict[str, tuple[str | None, str | None, str]]:
    return {path: row[:3] for path, row in rows_of(source).items()}


def test_hugging_faces_imagefolder_with_metadata(store: Callable[[Mapping[str, bytes]], str]) -> None:
    source = store(
        files("train/1.png", "train/2.png", "train/3.png", "test/1.png")
        | {
            "train/metadata.csv": b"file_name,label,age\n1.png,cat,3\n2.png,dog,4\n",
            "test/metadata.csv": b"\xef\xbb\xbffile_name,label,age\n1.png,cat,5\n",
            "README.md": b"",
        }
    )
    assert open_source(source).kind == "listed_files"
    assert rows(source) == {
        "README.md": (None, None, "stray_file"),
        "test/1.png": ("cat", "test", ""),
        "test/metadata.csv": (None, None, "stray_file"),
        "train/1.png": ("cat", "train", ""),
        "train/2.png": ("dog", "train", ""),
        "train/3.png": (None, "train", "unlabelled"),
        "train/metadata.csv": (None, None, "stray_file"),
    }
    assert {file.path: file.metadata.get("age") for file in open_source(source).entries}["train/2.png"] == "4"


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ("metadata.csv", "file_name,label\ntrain/1.png,cat\ntest/2.png,dog\n"),
        ("labels.csv", "id,breed\n1,cat\n2,dog\n"),
        ("labels.csv", "Image Name,Class,Split\n1.png,cat,train\n2.png,dog,test\n"),
        ("any name.csv", "path,label\ntrain/1.png,cat\ntest/2.png,dog\n"),
        (
            "metadata.jsonl",
            '{"file_name": "train/1.png", "label": "cat"}\n{"file_name": "test/2.png", "label": "dog"}\n',
        ),
    ],
)
def test_one_table_above_split_folders(tmp_path: Path, table: str, text: str) -> None:
    source = str(lay(tmp_path, files("train/1.png", "test/2.png") | {table: text.encode()}))
    assert rows(source) == {
        table: (None, None, "stray_file"),
        "test/2.png": ("dog", "test", ""),
        "train/1.png": ("cat", "train", ""),
    }


def test_a_table_called_by_its_split(tmp_path: Path) -> None:
    """Kaggle's: labels of train alone, and files without a suffix."""
    table = b"image_id,label\n" + b"".join(b"%d,%d\n" % (number, number % 2) for number in range(4))
    source = files(*(f"train/{number}.png" for number in range(4)), *(f"test/{number}.png" for number in range(2)))
    entries = rows(str(lay(tmp_path, source | {"train.csv": table, "test.csv": b"image_id\n0\n1\n"})))
    assert entries["train/1.png"] == ("1", "train", "")
    assert entries["test/1.png"] == (None, "test", "unlabelled")


def test_a_parquet_table_and_numbers(tmp_path: Path) -> None:
    lay(tmp_path, files("a.png", "b.png"))
    pq.write_table(pa.table({"file_name": ["a.png", "b.png"], "label": [1.0, 2.0]}), tmp_path / "metadata.parquet")
    assert {path: row[0] for path, row in rows(str(tmp_path)).items()} == {
        "a.png": "1",
        "b.png": "2",
        "metadata.parquet": None,
    }


def test_a_file_that_a_table_names_and_that_is_not_there(store: Callable[[Mapping[str, bytes]], str]) -> None:
    table = b"file_name,label\n1.png,a\n2.png,b\n../../../etc/passwd,b\n"
    entries = rows(store(files("data/1.png", "data/2.png") | {"data/metadata.csv": table}))
    assert entries["data/1.png"] == ("a", None, "")
    # below a temporary folder there is no such file; out of an archive nothing leads, whatever is there
    (row,) = [row for path, row in entries.items() if "passwd" in path]
    assert row in (("b", None, "unreadable_file"), ("b", None, "outside_source"))


def test_other_tables_are_stray(tmp_path: Path) -> None:
    source = files("cat/1.png", "dog/1.png") | {
        "labels.csv": b"id,name\n0,cat\n1,dog\n",
        "cat/metadata.csv": b"file_name,label\n1.png,x\n",
        "numbers.csv": b"file_name,label\ncat/1.png,y\n",
        "metadata.csv": b"file_name,text\ncat/1.png,A cat.\ndog/1.png,A dog.\n",
    }
    assert {path: row[0] for path, row in rows(str(lay(tmp_path, source))).items() if path.endswith("png")} == {
        "cat/1.png": "cat",
        "dog/1.png": "dog",
    }


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (
            "file_name,label\n1.png,a\n1.png,b\n2.png,a\n",
            "multi-label: rows 1 and 2 give '1.png' the labels 'a'",
        ),
        ("file_name,label\n1.png,a\n1.png,a\n2.png,a\n", "row 2: path '1.png' was given in row 1 already"),
        ('file_name,label\n1.png,"[0, 1]"\n2.png,[0]\n', "is multi-label: 2 rows have a list"),
        ("file_name,label,split\n1.png,a,nowhere\n2.png,b,train\n", "row 1: split 'nowhere' is none of"),
        ("file_name,label\n1.png,a\n2.png\n", "line 3: 1 cells, the header has 2"),
        ("file_name,label,label\n1.png,a,b\n", "column 'label' twice"),
    ],
)
def test_wrong_tables(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(InputError, match=match):
        open_source(str(lay(tmp_path, files("1.png", "2.png") | {"metadata.csv": text.encode()})))


def test_lists_in_json_lines_are_multi_label(tmp_path: Path) -> None:
    text = json.dumps({"file_name": "1.png", "label": ["a", "b"]}).encode()
    with pytest.raises(InputError, match="line 1, is multi-label"):
        open_source(str(lay(tmp_path, files("1.png") | {"metadata.jsonl": text})))


@pytest.mark.parametrize(
    ("line", "match"), [(b"{nope", "Expecting"), (b"\xff", "not UTF-8"), (b"[" * 9**5, ""), (b"3", "")]
)
def test_a_line_that_is_no_json_object_is_named(tmp_path: Path, line: bytes, match: str) -> None:
    text = b'\xef\xbb\xbf{"file_name": "1.png", "label": "a"}\n\n' + line + b"\n"
    with pytest.raises(InputError, match=rf"metadata\.jsonl, line 3, is not (a )?JSON.*{match}"):
        open_source(str(lay(tmp_path, files("1.png") | {"metadata.jsonl": text})))


def test_a_split_with_class_folders_beside_one_with_a_table_is_refused(tmp_path: Path) -> None:
    source = files("train/1.png", "train/2.png", "test/a/1.png", "test/b/1.png")
    table = {"train/metadata.csv": b"file_name,label\n1.png,a\n2.png,b\n"}
    with pytest.raises(InputError, match="of train, but no table labels those of 'test', which holds the folders a, b"):
        open_source(str(lay(tmp_path, source | table)))


def test_two_tables_of_the_same_images_are_refused(tmp_path: Path) -> None:
    table = b"file_name,label\n1.png,a\n"
    with pytest.raises(InputError, match=r"metadata\.csv and another table both give a label to '1\.png'"):
        open_source(str(lay(tmp_path, files("1.png") | {"metadata.csv": table, "labels.csv": table})))
