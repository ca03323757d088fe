"""What is small on disk and huge when read is refused before disk or memory are gone."""

from __future__ import annotations

import gzip
import io
import itertools
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallmark.contracts.errors import InputError
from hallmark.images import bounds, tars
from hallmark.images.bounds import Bounds
from hallmark.images.sources import open_source
from tests.images.conftest import lay, png

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ONE = png(1)
SMALL = Bounds(max_files=20, max_expansion=10, max_line_bytes=100)


@pytest.fixture(autouse=True)
def nothing_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "FREE_BYTES", 2000)


def read(path: Path) -> int:
    """Bytes of all contents."""
    contents = open_source(str(path), bounds=SMALL).contents(2**20)
    return sum(len(content.data or b"") for _, content in contents)


def zipped(path: Path, *files: tuple[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(name, data)


def tarred(path: Path, *files: tuple[str, bytes], mode: str = "w:gz") -> None:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in files:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def zeros_zip(path: Path) -> None:
    zipped(path, *((f"a/{number}.png", bytes(9000)) for number in range(9)))


def zeros_tar(path: Path) -> None:
    tarred(path, *((f"a/{number}.png", bytes(9000)) for number in range(9)))


def sparse_tar(path: Path) -> None:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        body = b"1\n0\n512\n".ljust(512, b"\0") + bytes(512)
        member = tarfile.TarInfo("a/sparse.png")
        member.size = len(body)
        headers = {"major": "1", "minor": "0", "name": member.name, "realsize": str(2**19)}
        member.pax_headers = {f"GNU.sparse.{key}": value for key, value in headers.items()}
        archive.addfile(member, io.BytesIO(body))


def claims_of_one_member(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/0.png", bytes(9000))
        for number in range(1, 19):
            entry = zipfile.ZipInfo(f"a/{number}.png")
            for name in ("header_offset", "file_size", "compress_size", "CRC", "compress_type"):
                setattr(entry, name, getattr(archive.filelist[0], name))
            archive.filelist.append(entry)


def same_image_by_a_dictionary(path: Path) -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 20, pa.int32()), pa.array([bytes(9000)], pa.binary()))
    table = pa.table({"image": column, "label": ["a"] * 20})
    pq.write_table(table, path, compression="zstd", store_schema=False)


@pytest.mark.parametrize("make", [zeros_zip, zeros_tar, sparse_tar, claims_of_one_member, same_image_by_a_dictionary])
def test_what_expands_too_far_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "source")
    with pytest.raises(InputError, match=r"expands to more than \d+ \(max_expansion\); raise max_exp"):
        read(tmp_path / "source")


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_nothing_is_read_of_an_archive_that_would_expand_too_far(
    tmp_path: Path, pack: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(tmp_path / "s", ("a/0.png", ONE), ("a/1.png", bytes(9000)))
    monkeypatch.setattr(Bounds, "most_expanded", lambda _, packed: 20_000 if packed else 0)
    source = open_source(str(tmp_path / "s"), bounds=SMALL)
    monkeypatch.setattr(Bounds, "most_expanded", lambda _, packed: 5000 if packed else 0)
    with pytest.raises(InputError, match="expands"):
        next(iter(source.contents(2**20)))


def test_a_member_that_is_too_large_to_be_read_does_not_count(tmp_path: Path) -> None:
    zipped(tmp_path / "s.zip", ("a/0.png", ONE), ("a/film.mp4", bytes(2**20 + 1)))
    assert read(tmp_path / "s.zip") == len(ONE)


def test_headers_of_a_packed_tar_are_bounded(tmp_path: Path) -> None:
    header = tarfile.TarInfo("x")
    header.size, header.type = 2**31, tarfile.XHDTYPE
    with gzip.open(tmp_path / "s.tgz", "wb") as file:
        file.write(header.tobuf(tarfile.USTAR_FORMAT) + bytes(tars._MOST_AT_ONCE))
    with pytest.raises(InputError, match=r"s\.tgz cannot be read: a header of 2147483648 bytes"):
        read(tmp_path / "s.tgz")


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "csv", "parquet"])
def test_files_members_and_rows_are_counted(tmp_path: Path, kind: str) -> None:
    files = [(f"a/{number}.png", b"") for number in range(21)]
    source = tmp_path / "s"
    match kind:
        case "folder":
            lay(source, dict(files))
        case "zip":
            zipped(source, *files)
        case "tar":
            tarred(source, *files, mode="w")
        case "csv":
            source = tmp_path / "s.csv"
            source.write_text("path,label\n" + "".join(f"{name},a\n" for name, _ in files))
        case _:
            pq.write_table(pa.table({"path": [name for name, _ in files], "label": ["a"] * 21}), source)
    with pytest.raises(InputError, match=r"more than 20 files or rows \(max_files\); raise max_files"):
        read(source)


@pytest.mark.parametrize("packed", [False, True])
def test_a_line_without_an_end_is_not_read_to_its_end(tmp_path: Path, packed: bool) -> None:
    text = b"path,label\na.png," + b"x" * 101 + b"\n"
    (tmp_path / "s.csv").write_bytes(text)
    zipped(tmp_path / "s.zip", ("s.csv", text), ("a.png", ONE))
    with pytest.raises(InputError, match=r"s\.csv has a line of more than 100 bytes \(max_line_bytes\)"):
        read(tmp_path / ("s.zip" if packed else "s.csv"))


def test_a_long_text_that_rows_of_a_parquet_share(tmp_path: Path) -> None:
    note = pa.DictionaryArray.from_arrays(pa.array([0] * 9, pa.int32()), pa.array(["x" * 101]))
    table = pa.table({"path": list("abcdefghi"), "label": ["a"] * 9, "note": note})
    pq.write_table(table, tmp_path / "s.parquet", store_schema=False)
    with pytest.raises(InputError, match=r"a line of more than 100 bytes"):
        read(tmp_path / "s.parquet")


@given(st.binary(max_size=300), st.lists(st.integers(0, 300)), st.integers(1, 40))
def test_the_length_of_lines_does_not_depend_on_chunks(data: bytes, cuts: list[int], most: int) -> None:
    text = data.replace(b"\0", b"\n")
    edges = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    chunks = [text[one:other] for one, other in itertools.pairwise(edges)]
    limits = Bounds(max_line_bytes=most, max_files=10**6)

    class Cut(io.BytesIO):
        """A file that gives as much at a time as the chunks have."""

        def read(self, size: int | None = -1) -> bytes:
            return chunks.pop(0) if chunks else b""

    if max(map(len, text.split(b"\n"))) <= most:
        assert limits.lines(Cut(), "x").read() == text
    else:
        with pytest.raises(InputError, match="line"):
            limits.lines(Cut(), "x").read()


def test_an_encrypted_link_is_one_row(tmp_path: Path) -> None:
    zipped(tmp_path / "s.zip", ("a/0.png", ONE))
    with zipfile.ZipFile(tmp_path / "s.zip", "a") as archive:
        link = zipfile.ZipInfo("a/link.png")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "0.png")
    data = bytearray((tmp_path / "s.zip").read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.rindex(signature) + offset] |= 1
    (tmp_path / "s.zip").write_bytes(data)
    source = open_source(str(tmp_path / "s.zip"))
    outcome = {source.entries[index].path: content.reason for index, content in source.contents(2**20)}
    assert outcome == {"a/0.png": "", "a/link.png": "unreadable_file"}
