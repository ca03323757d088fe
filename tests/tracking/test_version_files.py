"""Files of a version whose artifacts are in a store: a copy of what it has, None for what it lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hallmark.contracts.errors import MachineError
from hallmark.tracking import integrity, store, version_files
from hallmark.tracking.lookup import Version

if TYPE_CHECKING:
    from pathlib import Path

HELD, LACKED = "evaluation/predictions.parquet", "evaluation/clusters.parquet"


@pytest.fixture
def stored(workspace: Path) -> Version:
    """Version 1 of model m, as a registry that is not on this machine gives it: without a folder."""
    client = store.client()
    model = client.create_logged_model(store.experiment(client, "hallmark"), name="m")
    folder = workspace / "model"
    (folder / "evaluation").mkdir(parents=True)
    (folder / HELD).write_bytes(b"predictions")
    files = integrity.digests(folder)
    client.log_model_artifacts(model.model_id, str(folder))
    client.finalize_logged_model(model.model_id, "READY")
    client.create_registered_model("m")
    client.create_model_version("m", source=model.artifact_location, model_id=model.model_id)
    return Version(number=1, tags={integrity.FILES: files}, folder=None)


@pytest.mark.parametrize("digests", [True, False])
def test_a_file_that_a_stored_version_lacks_is_none(stored: Version, tmp_path: Path, digests: bool) -> None:
    version = stored if digests else Version(number=1, tags={}, folder=None)
    held = version_files.file_of("m", version, HELD, tmp_path)
    assert held is not None
    assert held.read_bytes() == b"predictions"
    folder = version_files.file_of("m", version, "evaluation", tmp_path / "whole")
    assert folder is not None
    assert folder.is_dir()
    for lacked in (LACKED, "other/x.json", "evaluation/predictions"):
        assert version_files.file_of("m", version, lacked, tmp_path) is None


def test_a_registered_file_that_the_store_has_lost_is_an_error(stored: Version, tmp_path: Path) -> None:
    (stored_file,) = (tmp_path / "my work" / "mlartifacts").rglob("predictions.parquet")
    stored_file.unlink()
    with pytest.raises(MachineError, match="files of version 1 of model 'm' cannot be read"):
        version_files.file_of("m", stored, HELD, tmp_path)
