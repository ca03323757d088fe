from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from hallmark.contracts.errors import MachineError
from hallmark.tracking import integrity
from hallmark.tracking.lookup import Version

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    package = tmp_path / "package"
    (package / "sub").mkdir(parents=True)
    (package / "a.json").write_text("a")
    (package / "sub" / "b.bin").write_bytes(bytes(3 << 20))
    return package


def recorded(folder: Path) -> dict[str, str]:
    version = Version(number=1, tags={integrity.FILES: integrity.digests(folder)}, folder=None)
    return integrity.recorded("m", version, "")


def test_the_bytes_that_were_compared_are_given(folder: Path) -> None:
    expected = recorded(folder)
    assert set(expected) == {"a.json", "sub/b.bin"}
    assert integrity.read(folder, expected, what="it", keep=("a.json",)) == {"a.json": b"a"}


def test_every_difference_is_named(folder: Path) -> None:
    expected = recorded(folder)
    (folder / "a.json").write_text("b")
    (folder / "sub" / "b.bin").unlink()
    (folder / "c").write_text("")
    (folder / "link").symlink_to("sub")
    with pytest.raises(
        MachineError, match=r"of it are .* a\.json is changed, sub/b\.bin is missing, c is added, link is"
    ):
        integrity.read(folder, expected, what="it")
    with pytest.raises(MachineError, match=r"registered: a\.json is changed \(in"):
        integrity.read(folder, {"a.json": expected["a.json"]}, what="it", whole=False)


@pytest.mark.parametrize("odd", ["pipe", "folder", "dangling"])
def test_what_is_no_file_is_never_opened(folder: Path, odd: str) -> None:
    expected = recorded(folder)
    path = folder / "a.json"
    path.unlink()
    if odd == "pipe":
        os.mkfifo(path)
    elif odd == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    with pytest.raises(MachineError, match=r"a\.json(: it is no regular file| is missing)"):
        integrity.read(folder, expected, what="it")


def test_folders_of_a_version_are_distinguished() -> None:
    tags = {integrity.FILES: json.dumps({"artifacts/package/a": "1", "artifacts/packages/b": "2", "c": "3"})}
    version = Version(number=1, tags=tags, folder=None)
    assert integrity.recorded("m", version, "artifacts/package") == {"a": "1"}
    assert integrity.recorded("m", version, "")["c"] == "3"
