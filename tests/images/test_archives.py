"""Archives that are odd, hostile or broken."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from hallmark.contracts.errors import InputError
from hallmark.images.sources import open_source
from tests.images.conftest import pack, png
from tests.images.test_sources import LIMIT, rows_of

if TYPE_CHECKING:
    from pathlib import Path

ONE, TWO = png(1), png(2)


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_members_that_would_escape_stay_inside(tmp_path: Path, suffix: str) -> None:
    names = ["../../evil.png", "/etc/evil.png", "cat/../../evil.png", "cat/a.png"]
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    rows = rows_of(str(pack(inside / f"s{suffix}", dict.fromkeys(names, ONE))))
    assert rows.pop("cat/a.png") == ("cat", None, "", ONE)
    assert {row[:3] for row in rows.values()} == {(None, None, "stray_file")}
    assert len(rows) >= 2
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [f"s{suffix}"]


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")  # zipfile warns as the test writes it
@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_of_two_members_of_a_name_the_last_counts(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"s{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("cat/a.png", ONE)
            archive.writestr("cat/a.png", TWO)
    else:
        with tarfile.open(path, "w") as tar:
            for data in (ONE, TWO):
                member = tarfile.TarInfo("./cat/a.png")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    assert rows_of(str(path)) == {"cat/a.png": ("cat", None, "", TWO)}


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_links_in_a_tar(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"s{suffix}"
    with tarfile.open(path, "w:gz" if suffix.endswith("gz") else "w") as tar:

        def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> None:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            tar.addfile(member)

        link("dog/early.png", "../cat/a.png")
        member = tarfile.TarInfo("cat/a.png")
        member.size = len(ONE)
        tar.addfile(member, io.BytesIO(ONE))
        link("dog/hard.png", "cat/a.png", tarfile.LNKTYPE)
        link("dog/twice.png", "early.png")
        link("dog/broken.png", "nowhere.png")
        link("dog/out.png", "../../../etc/passwd")
        link("dog/loop.png", "loop.png")
        link("dog/pipe.png", "", tarfile.FIFOTYPE)
    rows = rows_of(str(path))
    for name in ("cat/a.png", "dog/early.png", "dog/hard.png", "dog/twice.png"):
        assert rows.pop(name)[2:] == ("", ONE), name
    assert rows.pop("dog/out.png")[2:] == ("outside_source", None)
    assert {row[2:] for row in rows.values()} == {("unreadable_file", None)}
    assert len(rows) == 3


def test_links_in_a_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        archive.writestr("cat/a.png", ONE)
        for name, target in (("dog/b.png", "../cat/a.png"), ("dog/out.png", "/etc/passwd")):
            member = zipfile.ZipInfo(name)
            member.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(member, target)
    rows = rows_of(str(tmp_path / "s.zip"))
    assert rows["dog/b.png"] == ("dog", None, "", ONE)
    assert rows["dog/out.png"] == ("dog", None, "outside_source", None)


def test_a_broken_or_encrypted_member_costs_no_other(tmp_path: Path) -> None:
    path = pack(tmp_path / "s.zip", {"cat/a.png": ONE, "cat/b.png": TWO * 20, "cat/c.png": TWO})
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("cat/b.png").header_offset
        third = archive.getinfo("cat/c.png").header_offset
    data[start + 45 : start + 55] = b"\xff" * 10
    central = data.rindex(b"PK\x01\x02")
    data[third + 6] |= 1
    data[central + 8] |= 1
    path.write_bytes(data)
    rows = rows_of(str(path))
    assert rows["cat/a.png"][2:] == ("", ONE)
    assert rows["cat/b.png"][2:] == ("unreadable_file", None)
    assert rows["cat/c.png"][2:] == ("unreadable_file", None)


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".tar.xz"])
def test_truncated_archives_are_refused(tmp_path: Path, suffix: str) -> None:
    path = pack(tmp_path / f"s{suffix}", {f"cat/{number}.png": bytes(range(256)) * 64 for number in range(9)})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(InputError, match=r"cannot be read|no \.zip by its content|no known kind"):
        for _ in open_source(str(path)).contents(LIMIT):
            pass


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
@pytest.mark.parametrize("damage", ["cut off", "overwritten"])
def test_a_tar_with_a_header_that_cannot_be_read_is_refused(tmp_path: Path, suffix: str, damage: str) -> None:
    data = pack(tmp_path / "whole.tar", {f"cat/{number}.png": ONE for number in range(9)}).read_bytes()
    at = 4 * 1024  # a header and a block of content each
    data = data[: at + 200] if damage == "cut off" else data[:at] + b"x" * 512 + data[at + 512 :]
    path = tmp_path / f"s{suffix}"
    path.write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    with pytest.raises(InputError, match="cannot be read: no header after member 4"):
        open_source(str(path))


def test_a_zip_with_backslashes_between_the_folders(tmp_path: Path) -> None:
    path = pack(tmp_path / "s.zip", {"set\\train\\cat\\a.png": ONE, "set\\test\\dog\\b.png": TWO, "set\\train\\": b""})
    assert rows_of(str(path)) == {
        "set/train/cat/a.png": ("cat", "train", "", ONE),
        "set/test/dog/b.png": ("dog", "test", "", TWO),
    }
    path = pack(tmp_path / "t.zip", {"cat/back\\slash.png": ONE, "dog/b.png": TWO})
    assert rows_of(str(path))["cat/back\\slash.png"] == ("cat", None, "", ONE)
    path = pack(tmp_path / "u.zip", {"..\\..\\evil.png": ONE, "cat\\a.png": TWO})
    assert rows_of(str(path))["../../evil.png"][:3] == (None, None, "stray_file")


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_archives_without_files_or_with_two_tables(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(InputError, match="holds no file"):
        open_source(str(pack(tmp_path / f"none{suffix}", {})))
    tables = {"a.csv": b"path,label\nx,y\n", "b.csv": b"path,label\nx,y\n"}
    with pytest.raises(InputError, match=r"2 tables: a\.csv, b\.csv"):
        open_source(str(pack(tmp_path / f"two{suffix}", tables)))
