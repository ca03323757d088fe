"""A kill leaves the old or the new."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from hallmark.contracts import durable

if TYPE_CHECKING:
    from pathlib import Path


def test_a_folder_replaces_a_folder_whole(tmp_path: Path) -> None:
    old, new = tmp_path / "place", tmp_path / "new"
    for folder, word in ((old, "old"), (new, "new")):
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / word).write_text(word)
    durable.replace(new, old)
    assert [path.name for path in sorted((tmp_path / "place").rglob("*"))] == ["deep", "new"]
    assert not new.exists()


def test_the_fallback_without_exchange_does_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable, "_exchange", lambda *_: False)
    test_a_folder_replaces_a_folder_whole(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["place"]


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The inodes forced to the disk, in order."""
    inodes: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: inodes.append(os.fstat(descriptor).st_ino))
    return inodes


def test_every_file_and_folder_is_forced_to_the_disk_contents_first(tmp_path: Path, forced: list[int]) -> None:
    folder = tmp_path / "folder"
    (folder / "deep" / "deeper").mkdir(parents=True)
    for name in ("one", "deep/two", "deep/deeper/three"):
        (folder / name).write_text(name)
    durable.sync(folder)
    assert sorted(forced) == sorted(path.stat().st_ino for path in [folder, *folder.rglob("*")])
    for path in folder.rglob("*"):
        assert forced.index(path.stat().st_ino) < forced.index(path.parent.stat().st_ino), path
    forced.clear()
    durable.sync(folder / "one")
    assert forced == [(folder / "one").stat().st_ino]


def test_contents_are_on_the_disk_before_the_rename_and_the_rename_after(
    tmp_path: Path, forced: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def renamed(source: Path, target: Path) -> None:
        assert forced == [source.stat().st_ino]
        replace(source, target)

    monkeypatch.setattr(os, "replace", renamed)
    durable.write_text(tmp_path / "deep" / "file.txt", "é")
    path = tmp_path / "deep" / "file.txt"
    assert path.read_bytes() == "é".encode()
    assert forced == [path.stat().st_ino, path.parent.stat().st_ino]
    assert list(path.parent.iterdir()) == [path]


def test_descriptors_are_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder").mkdir()
    opened: set[int] = set()
    original_open, original_close = os.open, os.close

    def open_file(*arguments: int | Path) -> int:
        descriptor = original_open(*arguments)  # type: ignore[arg-type]
        opened.add(descriptor)
        return descriptor

    def close_file(descriptor: int) -> None:
        opened.discard(descriptor)
        original_close(descriptor)

    def refuse(descriptor: int) -> None:
        raise OSError(f"descriptor {descriptor}: the disk is gone")

    monkeypatch.setattr(os, "open", open_file)
    monkeypatch.setattr(os, "close", close_file)
    durable.sync(tmp_path)
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="the disk is gone"):
        durable.sync(tmp_path / "folder")
    assert not opened


def test_a_text_that_cannot_be_written_leaves_the_old_and_nothing_partial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.txt"
    durable.write_text(path, "old")

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        durable.write_text(path, "new")
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("file.txt", "old")]


def test_a_link_is_removed_and_replaced_itself_not_what_it_points_to(tmp_path: Path) -> None:
    target, link, new = tmp_path / "target", tmp_path / "link", tmp_path / "new"
    target.mkdir()
    (target / "kept").touch()
    link.symlink_to(target)
    durable.remove(link)
    assert not link.is_symlink()
    link.symlink_to(target)
    new.write_text("new")
    durable.replace(new, link)
    assert link.read_text() == "new"
    assert [path.name for path in target.iterdir()] == ["kept"]
    durable.remove(tmp_path / "absent")


def test_a_killed_writer_leaves_one_whole_version(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib, itertools\n"
        "from hallmark.contracts import durable\n"
        "place = pathlib.Path(sys.argv[1])\n"
        "for number in itertools.count():\n"
        "    new = place.with_name('new')\n"
        "    durable.remove(new)\n"
        "    new.mkdir()\n"
        "    for name in 'abc':\n"
        "        (new / name).write_text(str(number))\n"
        "    durable.replace(new, place)\n"
    )
    place = tmp_path / "place"
    for delay in (0.4, 0.45, 0.5):
        process = subprocess.Popen([sys.executable, "-c", program, str(place)])
        deadline = time.monotonic() + 300
        while not place.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        contents = {(place / name).read_text() for name in "abc"}
        assert len(contents) == 1
