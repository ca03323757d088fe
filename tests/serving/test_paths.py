from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from hallmark.serving.paths import Named, expand, printable, read

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``in`` with files at two depths, hidden and junk files, a pipe and odd links."""
    monkeypatch.chdir(tmp_path)
    for name in ("in/b.png", "in/a[1].png", "in/deep/er/c.png", "in/.hidden", "in/.git/d.png", "in/Thumbs.db"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    os.mkfifo("in/pipe")
    os.symlink("nowhere", "in/dangling")
    os.symlink("..", "in/deep/loop")
    os.mkdir("empty")
    return tmp_path


def paths(*arguments: str) -> list[str]:
    return [one.path for one in expand(arguments) if not one.error]


def errors(*arguments: str) -> dict[str, str]:
    return {one.path: one.error for one in expand(arguments) if one.error}


@pytest.mark.usefixtures("folder")
def test_a_folder_is_all_files_below_it() -> None:
    assert paths("in") == ["in/a[1].png", "in/b.png", "in/deep/er/c.png"]
    assert errors("in") == {
        "in/dangling": "cannot be read: No such file or directory",
        "in/pipe": "not a regular file",
    }
    assert errors("empty") == {"empty": "no file in this folder"}


@pytest.mark.usefixtures("folder")
def test_patterns(folder: Path) -> None:
    assert paths("in/*.png") == ["in/a[1].png", "in/b.png"]
    assert paths("in/**/*.png") == ["in/a[1].png", "in/b.png", "in/deep/er/c.png"], "a link formed a cycle"
    assert paths(f"{folder}/in/?.png") == [f"{folder}/in/b.png"]
    assert paths("in/de*") == ["in/deep/er/c.png"]
    assert paths("in/.h*") == ["in/.hidden"]
    # an existing file whose name is also a pattern is that file
    assert paths("in/a[1].png") == ["in/a[1].png"]
    assert errors("in/*.jpg", "no.png") == {
        "in/*.jpg": "no file matches this pattern",
        "no.png": "no such file",
    }
    assert "not a valid pattern" in errors("in/x**.png")["in/x**.png"]


@pytest.mark.usefixtures("folder")
def test_order_and_repetition_follow_the_arguments() -> None:
    assert paths("in/b.png", "in/a[1].png", "in/b.png") == ["in/b.png", "in/a[1].png", "in/b.png"]


@pytest.mark.usefixtures("folder")
def test_a_name_that_is_not_utf8_is_expanded() -> None:
    name = os.fsdecode(b"in/na\xefve.png")
    with open(name, "w") as file:
        file.write("x")
    assert Named(path=name) in list(expand(["in"]))
    assert printable(name) == "in/na\\xefve.png"


@pytest.mark.usefixtures("folder")
def test_only_regular_files_of_a_bounded_size_are_read() -> None:
    assert read("in/b.png", 1) == b"x"
    for path, limit, message in (
        ("in/pipe", 9, "not a regular file"),
        ("in/b.png", 0, "larger"),
        ("in", 9, "directory"),
    ):
        with pytest.raises(OSError, match=message):
            read(path, limit)
