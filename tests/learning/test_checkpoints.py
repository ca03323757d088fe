"""Checkpoints of a training, and the key that they belong to."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch

from hallmark.learning.checkpoints import FILE, KEEP, Checkpoints, key_of

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_checkpoints_come_back_and_others_finished_ones_go(tmp_path: Path) -> None:
    done = Checkpoints(tmp_path, "done")
    done.save({"x": torch.arange(3)}, finished=True)
    half = Checkpoints(tmp_path, "half")
    assert not (tmp_path / "done").exists()
    half.save({"x": torch.arange(4), "y": [1.5, None], "z": {"a": "b"}})
    state = Checkpoints(tmp_path, "half").load()
    assert state is not None
    assert torch.equal(state["x"], torch.arange(4))
    assert (state["y"], state["z"]) == ([1.5, None], {"a": "b"})
    assert sorted(path.name for path in (tmp_path / "half").iterdir()) == [FILE]
    for number in range(KEEP + 3):
        Checkpoints(tmp_path, f"n{number}").save({})
    Checkpoints(tmp_path, "new")
    assert len(list(tmp_path.iterdir())) == KEEP


def test_a_torn_checkpoint_is_told_and_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = Checkpoints(tmp_path, "key")
    kept.save({"x": torch.arange(1000)})
    path = tmp_path / "key" / FILE
    path.write_bytes(path.read_bytes()[:500])
    with caplog.at_level(logging.WARNING):
        assert kept.load() is None
    assert "cannot be read" in caplog.text


def test_the_key_follows_values_files_and_code(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("one")
    first = key_of({"lr": 1}, [file], code="x")
    assert first == key_of({"lr": 1}, [file], code="x")
    assert len({first, key_of({"lr": 2}, [file], code="x"), key_of({"lr": 1}, [file], code="y")}) == 3
    file.write_text("two")
    assert first != key_of({"lr": 1}, [file], code="x")
