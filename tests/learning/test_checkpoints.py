"""Checkpoints of a training, and the key that they belong to."""

from __future__ import annotations

import logging
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import torch

from hallmark.learning import training_key
from hallmark.learning.checkpoints import FILE, KEEP, Checkpoints, key_of
from tests.learning.training import CPU

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from hallmark.learning.model_setup import ModelSetup


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


def test_a_torn_checkpoint_is_reported_and_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
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


def test_the_key_of_a_training_follows_its_backbone_machine_and_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def key(backbone: dict[str, str] | None = None, precision: str = "fp32") -> str:
        setup = cast("ModelSetup", SimpleNamespace(description={"backbone": backbone}))
        return training_key.of({"lr": 1}, setup, replace(CPU, precision=precision), [])

    first = key()
    assert first == key()
    assert len({first, key({"source": "other"}), key(precision="bf16")}) == 3
    monkeypatch.setattr("hallmark.pipeline.closure.digest_of", lambda modules: f"edited {modules}")
    assert first != key()
