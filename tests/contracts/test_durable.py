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
from hallmark.contracts.errors import MachineError
from hallmark.pipeline.lock import exclusive, holder

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


def test_one_run_at_a_time(tmp_path: Path) -> None:
    with exclusive(tmp_path, "the first"):
        assert "the first" in str(holder(tmp_path))
        with (
            pytest.raises(MachineError, match=r"another run is active.*the first, process \d+"),
            exclusive(tmp_path, "the second"),
        ):
            pass
    assert holder(tmp_path) is None
    with exclusive(tmp_path, "the third"):
        pass
