"""One run at a time in a workspace."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from hallmark.contracts.errors import MachineError
from hallmark.pipeline.lock import exclusive, holder

if TYPE_CHECKING:
    from pathlib import Path


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


def test_the_lock_names_its_holder_while_it_is_held_and_nobody_after(tmp_path: Path) -> None:
    assert holder(tmp_path) is None
    with exclusive(tmp_path, "hallmark run"):
        assert holder(tmp_path) == f"hallmark run, process {os.getpid()}"
    assert holder(tmp_path) is None
    with pytest.raises(RuntimeError, match="the run failed"), exclusive(tmp_path, "hallmark run"):
        raise RuntimeError("the run failed")
    assert holder(tmp_path) is None


def test_a_shorter_purpose_leaves_nothing_of_a_longer_one(tmp_path: Path) -> None:
    # as a killed run does
    with exclusive(tmp_path, "a purpose of many words"):
        text = next(path for path in tmp_path.rglob("lock")).read_text()
    next(path for path in tmp_path.rglob("lock")).write_text(text)
    with exclusive(tmp_path, "short"):
        assert holder(tmp_path) == f"short, process {os.getpid()}"


def test_workspaces_are_locked_each_for_itself(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with exclusive(tmp_path / "one", "the first"), exclusive(tmp_path / "two", "the second"):
        assert "the first" in str(holder(tmp_path / "one"))
        assert "the second" in str(holder(tmp_path / "two"))


def test_a_holder_that_wrote_nothing_is_another_process(tmp_path: Path) -> None:
    with exclusive(tmp_path, "hallmark run"):
        next(path for path in tmp_path.rglob("lock")).write_text("")
        assert holder(tmp_path) == "another process"
        with pytest.raises(MachineError, match=r"\(another process\)"), exclusive(tmp_path, "the second"):
            pass
