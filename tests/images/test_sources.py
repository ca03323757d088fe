"""Every kind of source, and every way to be none."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hallmark.contracts.errors import InputError, MachineError
from hallmark.images.sources import open_source
from tests.images.conftest import lay, pack, png

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from hallmark.images.entries import Content, Entry, Source

LIMIT = 2**20
ONE, TWO, THREE = png(1), png(2), png(3)


def read(source: Source) -> dict[str, tuple[Entry, Content]]:
    contents = list(source.contents(LIMIT))
    assert sorted(index for index, _ in contents) == list(range(len(source.entries)))
    assert [file.path for file in source.entries] == sorted(file.path for file in source.entries)
    return {source.entries[index].path: (source.entries[index], content) for index, content in contents}


def rows_of(source: str) -> dict[str, tuple[str | None, str | None, str, bytes | None]]:
    """path → (label, split, reasons, bytes)."""
    return {
        path: (file.label, file.given_split, ";".join([*file.reasons, *filter(None, [content.reason])]), content.data)
        for path, (file, content) in read(open_source(source)).items()
    }


def test_class_folders(store: Callable[[Mapping[str, bytes]], str]) -> None:
    files = {
        "cat/a.png": ONE,
        "cat/deep/er/b c.PNG": TWO,
        "Löwe 🦁/ü.jpg": THREE,
        "cat/.hidden.png": ONE,
        "cat/Thumbs.db": b"x",
        ".cache/cat/a.png": ONE,
        "__MACOSX/cat/._a.png": b"x",
        "readme.txt": b"read me",
        "cat/empty.png": b"",
    }
    source = store(files)
    assert open_source(source).kind == "class_folders"
    assert rows_of(source) == {
        "cat/a.png": ("cat", None, "", ONE),
        "cat/deep/er/b c.PNG": ("cat", None, "", TWO),
        "Löwe 🦁/ü.jpg": ("Löwe 🦁", None, "", THREE),
        "cat/.hidden.png": ("cat", None, "stray_file", ONE),
        "cat/Thumbs.db": ("cat", None, "stray_file", b"x"),
        ".cache/cat/a.png": (None, None, "stray_file", ONE),
        "__MACOSX/cat/._a.png": (None, None, "stray_file", b"x"),
        "readme.txt": (None, None, "stray_file", b"read me"),
        "cat/empty.png": ("cat", None, "", b""),
    }


def test_split_folders(store: Callable[[Mapping[str, bytes]], str]) -> None:
    source = store(
        {
            "train/cat/a.png": ONE,
            "Validation/cat/more/b.png": TWO,
            "test/dog/c.png": THREE,
            "test/loose.png": ONE,
            "extra/dog/d.png": ONE,
            "train/.x/e.png": ONE,
        }
    )
    assert open_source(source).kind == "split_folders"
    assert rows_of(source) == {
        "train/cat/a.png": ("cat", "train", "", ONE),
        "Validation/cat/more/b.png": ("cat", "val", "", TWO),
        "test/dog/c.png": ("dog", "test", "", THREE),
        "test/loose.png": (None, "test", "stray_file", ONE),
        "extra/dog/d.png": (None, None, "stray_file", ONE),
        "train/.x/e.png": (None, "train", "stray_file", ONE),
    }


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["train/a.png", "car/b.png", "bus/c.png"], "class_folders"),
        (["train/steam/a.png", "car/b/b.png", "bus/c.png"], "class_folders"),
        (["train/cat/a.png"], "split_folders"),
        (["train/cat/a.png", "test/b.png"], "split_folders"),
    ],
)
def test_folders_named_train_are_splits_only_where_they_hold_classes(
    tmp_path: Path, names: list[str], kind: str
) -> None:
    assert open_source(str(lay(tmp_path, dict.fromkeys(names, ONE)))).kind == kind


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_one_folder_around_all_in_an_archive_is_no_class(tmp_path: Path, suffix: str) -> None:
    source = str(pack(tmp_path / f"s{suffix}", {"pets/cat/a.png": ONE, "pets/dog/b.png": TWO, "pets/x.txt": b""}))
    assert {path: row[0] for path, row in rows_of(source).items()} == {
        "pets/cat/a.png": "cat",
        "pets/dog/b.png": "dog",
        "pets/x.txt": None,
    }
    splits = str(pack(tmp_path / f"t{suffix}", {"pets/train/cat/a.png": ONE, "pets/test/dog/b.png": TWO}))
    assert {row[:2] for row in rows_of(splits).values()} == {("cat", "train"), ("dog", "test")}


def test_file_systems_oddities(tmp_path: Path) -> None:
    folder = lay(tmp_path / "source", {"cat/a.png": THREE, "kept/one.png": ONE, "kept/class/two.png": TWO})
    (folder / "cat/link.png").symlink_to("../kept/one.png")
    (folder / "cat/broken.png").symlink_to(tmp_path / "gone.png")
    (folder / "cat/self.png").symlink_to("self.png")
    (folder / "cat/loop").symlink_to(folder)
    (folder / "dog").symlink_to(folder / "kept/class")
    os.mkfifo(folder / "cat/pipe.png")
    with socket.socket(socket.AF_UNIX) as plug:
        plug.bind(os.path.relpath(folder / "cat/plug.png"))
    (folder / "empty").mkdir()
    assert rows_of(str(folder)) == {
        "cat/a.png": ("cat", None, "", THREE),
        "cat/link.png": ("cat", None, "", ONE),
        "cat/broken.png": ("cat", None, "unreadable_file", None),
        "cat/self.png": ("cat", None, "unreadable_file", None),
        "cat/loop": ("cat", None, "unreadable_file", None),
        "cat/pipe.png": ("cat", None, "unreadable_file", None),
        "cat/plug.png": ("cat", None, "unreadable_file", None),
        "dog/two.png": ("dog", None, "", TWO),
        "kept/one.png": ("kept", None, "", ONE),
        "kept/class/two.png": ("kept", None, "", TWO),
    }


@pytest.mark.parametrize("put", ["pipe", "link", "folder", "nothing"])
def test_whatever_replaces_a_file_before_it_is_read_is_not_opened(tmp_path: Path, put: str) -> None:
    folder = lay(tmp_path / "source", {"cat/a.png": ONE, "cat/b.png": TWO})
    secret = lay(tmp_path, {"secret": THREE}) / "secret"
    source = open_source(str(folder))
    (folder / "cat/b.png").unlink()
    match put:
        case "pipe":
            os.mkfifo(folder / "cat/b.png")
        case "link":
            (folder / "cat/b.png").symlink_to(secret)
        case "folder":
            (folder / "cat/b.png").mkdir()
    contents = {path: content for path, (_, content) in read(source).items()}
    assert contents["cat/a.png"].data == ONE
    assert contents["cat/b.png"].data is None
    assert contents["cat/b.png"].reason == ("outside_source" if put == "link" else "unreadable_file")


def test_a_folder_that_is_gone_while_the_source_is_listed_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = lay(tmp_path, {"cat/a.png": ONE, "dog/b.png": TWO})
    scan = os.scandir

    def vanishing(folder: Any) -> Any:
        if str(folder).endswith("dog"):
            shutil.rmtree(folder)
        return scan(folder)

    monkeypatch.setattr(os, "scandir", vanishing)
    assert set(rows_of(str(folder))) == {"cat/a.png"}


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    for name, data in ((b"na\xefve.png", ONE), (b"na\\xefve.png", TWO), (b'new\nline,".png', THREE)):
        Path(os.fsdecode(os.fsencode(tmp_path / "cat") + b"/" + name)).write_bytes(data)
    rows = rows_of(str(tmp_path))
    assert {path: row[3] for path, row in rows.items()} == {
        "cat/na\\xefve.png": TWO,
        "cat/na\\xefve.png~2": ONE,
        'cat/new\nline,".png': THREE,
    }
    assert all(path.encode() for path in rows)


@pytest.fixture
def nobody() -> Iterator[Path]:
    """A folder, and a user who is not root: root may read everything."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    user = os.geteuid()
    yield folder
    os.seteuid(user)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    shutil.rmtree(folder)


def become_nobody() -> None:
    if os.geteuid() == 0:
        os.seteuid(65534)


def test_no_permission(nobody: Path) -> None:
    folder = lay(nobody / "source", {"cat/a.png": ONE, "cat/b.png": TWO, "dog/c.png": THREE})
    for path in (folder, folder / "cat", folder / "dog"):
        path.chmod(0o755)
    (folder / "cat/b.png").chmod(0)
    become_nobody()
    assert rows_of(str(folder))["cat/b.png"] == ("cat", None, "unreadable_file", None)
    assert rows_of(str(folder))["cat/a.png"][3] == ONE
    os.seteuid(os.getuid())
    (folder / "dog").chmod(0)
    become_nobody()
    with pytest.raises(MachineError, match=r"no permission to list the folder '.*dog'"):
        open_source(str(folder))
    os.seteuid(os.getuid())
    folder.chmod(0)
    become_nobody()
    with pytest.raises(MachineError, match="no permission to read"):
        open_source(str(folder))
    with pytest.raises(MachineError, match="no permission to read"):
        open_source(str(folder / "cat"))


def test_large_files_are_not_read(store: Callable[[Mapping[str, bytes]], str]) -> None:
    source = open_source(store({"cat/a.png": ONE, "cat/b.png": bytes(LIMIT + 1), "cat/c.png": bytes(LIMIT)}))
    contents = {path: content for path, (_, content) in read(source).items()}
    assert (contents["cat/b.png"].reason, contents["cat/b.png"].data) == ("too_large", None)
    assert contents["cat/b.png"].size == LIMIT + 1
    assert contents["cat/c.png"].data == bytes(LIMIT)


def test_files_that_go_away_while_they_are_read(tmp_path: Path) -> None:
    source = open_source(str(lay(tmp_path, {"cat/a.png": ONE, "cat/b.png": TWO})))
    (tmp_path / "cat/a.png").unlink()
    (tmp_path / "cat/b.png").write_bytes(THREE * 3)
    contents = {path: content for path, (_, content) in read(source).items()}
    assert contents["cat/a.png"].reason == "unreadable_file"
    assert contents["cat/b.png"].data == THREE * 3


@pytest.mark.parametrize(("workers", "chunk"), [(1, 1), (3, 2), (8, 64)])
def test_contents_come_in_order_for_any_worker_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, chunk: int
) -> None:
    monkeypatch.setenv("HALLMARK_WORKERS", str(workers))
    monkeypatch.setattr("hallmark.images.folders._CHUNK_FILES", chunk)
    lay(tmp_path, {f"{number % 3}/{number:03d}": bytes([number]) for number in range(150)})
    source = open_source(str(tmp_path))
    contents = list(source.contents(LIMIT))
    assert [index for index, _ in contents] == list(range(150))
    assert [content.data for _, content in contents] == [bytes([int(file.path[2:])]) for file in source.entries]


MANIFEST = """path,label,group,split,age,code,note
img/a.png,cat,p1,train,3,007,"a, b"
./img/b.png,dog,,test,,012,
img/gone.png,cat,p1,val,4.5,,x
img/c.png,,p2,,5,001,y
"""


def check_manifest(source: str, kind: str, stray: set[str] | None = None) -> None:
    opened = open_source(source)
    assert opened.kind == kind
    rows = rows_of(source)
    prefix = "" if stray is None else "set/"
    for path in stray or ():
        assert rows.pop(path)[:3] == (None, None, "stray_file")
    assert rows == {
        f"{prefix}img/a.png": ("cat", "train", "", ONE),
        f"{prefix}img/b.png": ("dog", "test", "", TWO),
        f"{prefix}img/gone.png": ("cat", "val", "unreadable_file", None),
        f"{prefix}img/c.png": (None, None, "unlabelled", THREE),
    }
    entries = {file.path: file for file in opened.entries}
    assert [entries[f"{prefix}img/{name}.png"].group for name in "abc"] == ["p1", None, "p2"]
    assert set(entries[f"{prefix}img/a.png"].metadata) == {"age", "code", "note"}
    assert entries[f"{prefix}img/a.png"].metadata["note"] == "a, b"
    assert entries[f"{prefix}img/b.png"].metadata["note"] is None


IMAGES = {"img/a.png": ONE, "img/b.png": TWO, "img/c.png": THREE}


def as_parquet(path: Path) -> bytes:
    rows = {
        "path": ["img/a.png", "./img/b.png", "img/gone.png", "img/c.png"],
        "label": ["cat", "dog", "cat", None],
        "group": ["p1", None, "p1", "p2"],
        "split": ["train", "test", "val", None],
        "age": [3.0, None, 4.5, 5.0],
        "code": ["007", "012", None, "001"],
        "note": ["a, b", None, "x", "y"],
    }
    pq.write_table(pa.table(rows), path)
    return path.read_bytes()


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_csv_manifest(tmp_path: Path, mark: str) -> None:
    lay(tmp_path, IMAGES)
    (tmp_path / "list.CSV").write_text(mark + MANIFEST.replace("\n", "\r\n"), encoding="utf-8", newline="")
    check_manifest(str(tmp_path / "list.CSV"), "csv_manifest")


def test_parquet_manifest(tmp_path: Path) -> None:
    lay(tmp_path, IMAGES)
    as_parquet(tmp_path / "list.parquet")
    check_manifest(str(tmp_path / "list.parquet"), "parquet_manifest")


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tgz"])
@pytest.mark.parametrize("kind", ["csv_manifest", "parquet_manifest"])
def test_manifest_in_an_archive(tmp_path: Path, suffix: str, kind: str) -> None:
    table = {"set/list.csv": MANIFEST.encode()} if kind == "csv_manifest" else {}
    table = table or {"set/list.parquet": as_parquet(tmp_path / "list.parquet")}
    files = (
        {f"set/{name}": data for name, data in IMAGES.items()} | table | {"set/img/more.png": ONE, "set/a.csv": b"x,y"}
    )
    source = str(pack(tmp_path / f"source{suffix}", files))
    check_manifest(source, kind, stray={"set/img/more.png", "set/a.csv"})


def test_manifest_with_backslashes_and_an_index_column(tmp_path: Path) -> None:
    lay(tmp_path, IMAGES)
    (tmp_path / "list.csv").write_text(",path,label\n0,img\\a.png,1\n1,img/b.png,01\n")
    rows = rows_of(str(tmp_path / "list.csv"))
    assert {path: row[0] for path, row in rows.items()} == {"img/a.png": "1", "img/b.png": "01"}
    assert rows["img/a.png"][3] == ONE
    assert not open_source(str(tmp_path / "list.csv")).entries[0].metadata


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "is empty"),
        ("file,label\na,b\n", r"has the columns file, label but needs path, label; missing: path"),
        ("Path,label\na,b\n", "write 'Path' as 'path'"),
        ("path;label\na;b\n", "separate the columns by commas"),
        ("path,label,label\na,b,c\n", "column 'label' twice"),
        ("path,label\n", "lists no file"),
        ("path,label\na,b,c\n", "line 2: 3 cells, the header has 2"),
        ("path,label\na,b\n./a,c\n", "row 2: path 'a' was given in row 1 already"),
        ("path,label\n,b\n", "row 1: no path"),
        ("path,label,split\na,b,tarin\n", "split 'tarin' is none of train, val, test"),
        ('path,label\n"a,b\n', "line 2"),
        ("path,label\nhttps://example.org/a.png,b\n", r"row 1: path 'https://example.org/a.png' is a URL; download"),
        ("path,label\ns3://bucket/a.png,b\n", "is a URL"),
        ("path,label\nfile:///home/a.png,b\n", "is a URL"),
        ('path,label\n"data:image/png;base64,iVBOR",b\n', "is a URL"),
        (
            "path,label\nC:\\photos\\a.png,b\n",
            r"row 1: path 'C:\\photos\\a.png' is one of a Windows drive; give paths rel",
        ),
        ("path,label\nd:/photos/a.png,b\n", "Windows drive"),
        ("path,label\n\\\\server\\share\\a.png,b\n", "Windows drive"),
        (
            "path,label,split\na,b,holdout\n",
            r"row 1: split 'holdout' is none .*; write train \(training\), val \(valid, val",
        ),
        ("path,label,Split\na,b,train\n", "has the column 'Split'; write 'Split' as 'split'"),
        ("path,label,GROUP\na,b,1\n", "write 'GROUP' as 'group'"),
        ("path,label,label\u200b\na,b,c\n", "column 'label' twice"),
        ('path,label\na.png,"[0, 1]"\nb.png,[1]\n', "multi-label: 2 rows have a list"),
        ("path,label\na,x;y\nb,x\nc,y\n", "multi-label: 1 row has a list as its label, such as x;y"),
    ],
)
def test_wrong_csv_manifests(tmp_path: Path, text: str, match: str) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(InputError, match=match):
        open_source(str(tmp_path / "list.csv"))


def test_cells_with_space_and_invisible_characters(tmp_path: Path) -> None:
    lay(tmp_path, {"a.png": ONE, "b.png": TWO})
    text = "path\u200b, label ,group,split\n a.png ,dog ,p1\u00a0,\ufeff Train \n\u200bb.png,\u00a0,p1,VAL2\n"
    (tmp_path / "list.csv").write_text(text, encoding="utf-8")
    entries = {file.path: file for file in open_source(str(tmp_path / "list.csv")).entries}
    one, two = entries["a.png"], entries["b.png"]
    assert (one.label, one.group, one.given_split) == ("dog ", "p1", "train")
    assert (two.label, two.reasons, two.given_split) == (None, ("unlabelled",), "val")


def test_a_parquet_manifest_of_lists_is_multi_label(tmp_path: Path) -> None:
    for number, kind in enumerate((pa.list_(pa.string()), pa.large_list(pa.string()), pa.list_(pa.string(), 1))):
        path = tmp_path / f"{number}.parquet"
        pq.write_table(pa.table({"path": ["a.png"], "label": pa.array([["cat"]], kind)}), path)
        with pytest.raises(InputError, match=r"multi-label: its column 'label' is of type .*list.*give each image one"):
            open_source(str(path))


def test_a_manifest_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_bytes("path,label\nä.png,b\n".encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8"):
        open_source(str(tmp_path / "list.csv"))


def test_all_faults_of_a_manifest_at_once(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path,label,split\na,x,nope\n,x,train\n" + "b,x,train\n" * 9)
    with pytest.raises(InputError, match=r"row 1: split 'nope'.*row 2: no path.*row 4: path 'b'.*and 5 more"):
        open_source(str(tmp_path / "list.csv"))


def images_table(path: Path, *, names: list[str] | None = None, split: list[str] | None = None) -> Path:
    cells: list[dict[str, Any]] = [{"bytes": data, "path": None} for data in (ONE, TWO, THREE)]
    cells += [{"bytes": None, "path": "beside.png"}, {"bytes": None, "path": "gone.png"}, {"bytes": None, "path": None}]
    columns: dict[str, Any] = {
        "image": pa.array(cells, pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        "label": [0, 1, -1, 1, 0, 0],
        "age": [1, 2, 3, 4, 5, None],
    }
    if split:
        columns["split"] = split
    features: dict[str, Any] = {"image": {"_type": "Image"}, "label": {"_type": "Value", "dtype": "int64"}}
    if names:
        features["label"] = {"_type": "ClassLabel", "names": names}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), path, row_group_size=2)
    return path


@pytest.mark.parametrize("where", ["", ".zip", ".tar.gz"])
def test_parquet_of_images(tmp_path: Path, where: str) -> None:
    table = images_table(tmp_path / "t.parquet", names=["cat", "dog"])
    (tmp_path / "beside.png").write_bytes(ONE + TWO)
    source = str(table)
    if where:
        source = str(pack(tmp_path / f"s{where}", {"t.parquet": table.read_bytes(), "beside.png": ONE + TWO}))
    assert open_source(source).kind == "parquet_images"
    assert rows_of(source) == {
        "row:0": ("cat", None, "", ONE),
        "row:1": ("dog", None, "", TWO),
        "row:2": (None, None, "unlabelled", THREE),
        "row:3": ("dog", None, "", ONE + TWO),
        "row:4": ("cat", None, "unreadable_file", None),
        "row:5": ("cat", None, "unreadable_file", None),
    }
    assert [file.metadata["age"] for file in open_source(source).entries] == [1, 2, 3, 4, 5, None]


def test_parquet_of_images_without_names_and_more_than_ten_rows(tmp_path: Path) -> None:
    images = pa.array([{"bytes": bytes([number]), "path": ""} for number in range(12)])
    pq.write_table(pa.table({"img": images, "class": list(range(12))}), tmp_path / "t.parquet")
    rows = rows_of(str(tmp_path / "t.parquet"))
    assert {path: (row[0], row[3]) for path, row in rows.items()} == {
        f"row:{number}": (str(number), bytes([number])) for number in range(12)
    }


def test_wrong_parquet_sources(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1 but not really")
    with pytest.raises(InputError, match=r"t\.parquet is not a Parquet file"):
        open_source(str(path))
    pq.write_table(pa.table({"file": ["a"], "label": ["b"]}), path)
    with pytest.raises(InputError, match="has the columns file, label but needs path, label; missing: path"):
        open_source(str(path))
    pq.write_table(pa.table({"image": pa.array([b"x"]), "what": ["b"]}), path)
    with pytest.raises(InputError, match="has the columns image, what but no label"):
        open_source(str(path))
    images_table(path, split=["train", "val", "test", "train", "held out", "val"])
    with pytest.raises(InputError, match="row 4: split 'held out'"):
        open_source(str(path))


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]
)
def test_text_of_a_parquet_row_is_bounded_in_every_layout(tmp_path: Path, kind: pa.DataType) -> None:
    for length, refused in ((10, False), (2**20, True)):
        notes = pa.array(["x" * length] * 3).cast(kind)
        pq.write_table(
            pa.table({"path": ["1.png", "2.png", "3.png"], "label": ["a", "b", "a"], "note": notes}),
            tmp_path / "set.parquet",
        )
        if refused:
            with pytest.raises(InputError, match=r"bytes \(max_line_bytes\); raise max_line_bytes"):
                open_source(str(tmp_path / "set.parquet"))
        else:
            assert open_source(str(tmp_path / "set.parquet")).entries[0].metadata == {"note": "x" * length}


def test_lists_records_and_bytes_in_a_parquet_are_no_metadata(tmp_path: Path) -> None:
    columns = {
        "path": ["1.png", "2.png"],
        "label": ["a", "b"],
        "age": [3, 4],
        "boxes": [[{"x": 1}], []],
        "camera": [{"name": "c"}, {"name": "d"}],
        "mask": [ONE, TWO],
        "key": pa.array([b"12", b"34"], pa.binary(2)),
    }
    pq.write_table(pa.table(columns), tmp_path / "set.parquet")
    assert [row.metadata for row in open_source(str(tmp_path / "set.parquet")).entries] == [{"age": 3}, {"age": 4}]
    pq.write_table(pa.table({"path": [b"1.png"], "label": ["a"]}), tmp_path / "set.parquet")
    with pytest.raises(InputError, match="holds binary in its column 'path'"):
        open_source(str(tmp_path / "set.parquet"))


def test_wrong_sources(tmp_path: Path) -> None:
    for missing in ("nowhere", "~/pictures"):
        with pytest.raises(InputError, match=f"there is no '{missing}'"):
            open_source(missing)
    (tmp_path / "empty/deeper").mkdir(parents=True)
    with pytest.raises(InputError, match="holds no file; put images in it"):
        open_source(str(tmp_path / "empty"))
    (tmp_path / "empty.zip").write_bytes(b"")
    with pytest.raises(InputError, match="is empty"):
        open_source(str(tmp_path / "empty.zip"))
    (tmp_path / "a.txt").write_bytes(b"words")
    with pytest.raises(InputError, match="of no known kind; give a folder of class folders, a CSV"):
        open_source(str(tmp_path / "a.txt"))
    (tmp_path / "a.zip").write_bytes(b"words")
    with pytest.raises(InputError, match=r"is no \.zip by its content"):
        open_source(str(tmp_path / "a.zip"))
    with pytest.raises(InputError, match="there is no"):
        open_source(str(tmp_path / "a.txt/below"))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="is no file and no folder"):
        open_source(str(tmp_path / "pipe"))
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(InputError, match="Too many levels of symbolic links"):
        open_source(str(tmp_path / "circle"))
    for name, match in (("x" * 300, "name too long"), ("a\0b", "null")):
        with pytest.raises(InputError, match=f"(?i){match}.*; give a folder of class folders"):
            open_source(name)


def test_a_data_sets_folder_of_the_hugging_face_cache_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "datasets--some--set"
    lay(folder, {"blobs/1": ONE, "refs/main": b"abc", "snapshots/abc/README.md": b"x", ".no_exist/abc/x": b""})
    for label in ("cat", "dog"):
        (folder / "snapshots/abc" / label).mkdir()
        (folder / "snapshots/abc" / label / "1.png").symlink_to("../../../blobs/1")
    with pytest.raises(InputError, match=rf"with 1 snapshots; give .*ingest\.source={folder}/snapshots/abc"):
        open_source(str(folder))
    assert rows_of(str(folder / "snapshots/abc"))["dog/1.png"] == ("dog", None, "", ONE)


def test_images_beside_the_class_folders_are_stray(store: Callable[[Mapping[str, bytes]], str]) -> None:
    source = store({"cat/a.png": ONE, "dog/b.png": TWO, "loose.png": THREE})
    assert {path: row[:3] for path, row in rows_of(source).items()} == {
        "cat/a.png": ("cat", None, ""),
        "dog/b.png": ("dog", None, ""),
        "loose.png": (None, None, "stray_file"),
    }
