from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pytest

from hallmark.contracts.names import NO_FOLDER
from hallmark.images import watched
from hallmark.images.watched import folder_of_images, unwatched
from tests.images.conftest import png

if TYPE_CHECKING:
    from pathlib import Path


def lay(root: Path, *names: str) -> None:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(png(number))


def manifest(path: Path, *names: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("path,label\n" + "".join(f"{name},a\n" for name in names))


@pytest.mark.parametrize(
    ("source", "names", "folder"),
    [
        ("set/m.csv", ["pics/1.png", "pics/deep/2.png"], "set/pics"),
        ("set/m.csv", ["1.png", "pics/2.png"], "set"),
        ("set/m.csv", ["../else/1.png", "../else/2.png"], NO_FOLDER),
        ("set/m.csv", ["pics/1.png", "../else/2.png"], "set/pics"),
        ("set/m.csv", ["pics\\1.png"], "set/pics"),
        ("m.csv", ["pics/1.png"], "pics"),
        ("m.csv", ["1.png"], NO_FOLDER),
        ("m.csv", ["pics/1.png", "else/2.png"], NO_FOLDER),
        ("data/m.csv", ["1.png"], NO_FOLDER),
        ("data/mine/m.csv", ["1.png"], "data/mine"),
    ],
)
def test_the_folder_of_the_images_is_watched(source: str, names: list[str], folder: str, tmp_path: Path) -> None:
    manifest(tmp_path / source, *names)
    lay((tmp_path / source).parent, *(name.replace("\\", "/") for name in names))
    assert folder_of_images(source, tmp_path) == folder
    whole = str(tmp_path / source)
    assert folder_of_images(whole, tmp_path) == (folder if folder == NO_FOLDER else str(tmp_path / folder))


def test_a_manifest_does_not_choose_folders_outside_its_own(tmp_path: Path) -> None:
    lay(tmp_path, "else/1.png", "else/2.png")
    manifest(tmp_path / "set/m.csv", "../else/1.png", f"{tmp_path}/else/2.png")
    (tmp_path / "set/link").symlink_to("../else")
    manifest(tmp_path / "set/linked.csv", "link/1.png")
    for source in ("set/m.csv", "set/linked.csv"):
        assert folder_of_images(source, tmp_path) == NO_FOLDER
    assert folder_of_images("set/m.csv", tmp_path, follow_outside=True) == str(tmp_path / "else")
    assert folder_of_images("set/linked.csv", tmp_path, follow_outside=True) == "set/link"


def test_a_folder_of_mostly_other_files_is_not_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched, "SOME_OTHERS", 3)
    lay(tmp_path, *(f"set/pics/{number}.png" for number in range(6)))
    manifest(tmp_path / "set/m.csv", "pics/1.png")
    assert folder_of_images("set/m.csv", tmp_path) == NO_FOLDER
    manifest(tmp_path / "set/m.csv", "pics/1.png", "pics/2.png")
    assert folder_of_images("set/m.csv", tmp_path) == "set/pics"


def test_what_dvc_watches_whole_needs_no_folder(tmp_path: Path) -> None:
    lay(tmp_path, "set/cat/1.png")
    pd.DataFrame({"image": [{"bytes": png(1), "path": "1.png"}], "label": ["a"]}).to_parquet(tmp_path / "t.parquet")
    (tmp_path / "a.zip").write_bytes(b"PK")
    for source in ("set", "t.parquet", "a.zip", "nowhere.csv"):
        assert folder_of_images(source, tmp_path) == NO_FOLDER


def test_a_manifest_as_parquet(tmp_path: Path) -> None:
    lay(tmp_path, "set/pics/1.png")
    pd.DataFrame({"path": ["pics/1.png"], "label": ["a"]}).to_parquet(tmp_path / "set/m.parquet")
    assert folder_of_images("set/m.parquet", tmp_path) == "set/pics"


def test_files_outside_the_folder_watched_are_named(tmp_path: Path) -> None:
    source, names = str(tmp_path / "set/m.csv"), ["pics/1.png", "../else/2.png"]
    assert unwatched(names, source, NO_FOLDER) == names
    assert unwatched(names, source, str(tmp_path / "set/pics")) == ["../else/2.png"]
    assert unwatched(names, source, str(tmp_path)) == []
