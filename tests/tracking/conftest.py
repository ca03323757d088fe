from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from hallmark.tracking import store

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new store, made once: its migrations take seconds."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    store.prepare(f"sqlite:///{path}")
    return path


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Path) -> Path:
    """An empty workspace with a space in its path, as the current directory."""
    root = tmp_path / "my work"
    root.mkdir()
    shutil.copyfile(empty_store, root / "mlflow.db")
    monkeypatch.chdir(root)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    return root
