"""The arguments of ``hallmark run``, and the folder that commands work in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flows.invocation import changes, root_folder
from hallmark.contracts.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_path_is_the_source_and_combines_with_overrides(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "a=b.zip").write_text("")
    assert changes([], tmp_path) == []
    assert changes(["photos"], tmp_path) == ['ingest.source="photos"']
    assert changes(["photos/"], tmp_path) == ['ingest.source="photos"']
    assert changes(["/"], tmp_path) == ['ingest.source="/"']
    assert changes(["train.lr=1", "photos", "model=vit"], tmp_path) == [
        'ingest.source="photos"',
        "train.lr=1",
        "model=vit",
    ]
    assert changes([str(tmp_path / "photos")], tmp_path) == [f'ingest.source="{tmp_path / "photos"}"']
    assert changes(["a=b.zip"], tmp_path) == ['ingest.source="a=b.zip"']
    assert changes(["data/demo"], tmp_path) == ['ingest.source="data/demo"']


def test_a_path_to_nothing_and_a_second_source_are_refused(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for word in ("nowhere", "train.lr"):
        with pytest.raises(InputError, match=rf"no file or folder '{word}'.*give the path .*key=value"):
            changes([word], tmp_path)
    for other in ("ingest.source=x", str(tmp_path)):
        with pytest.raises(InputError, match=r"2 sources are given: photos, .*; give one"):
            changes(["photos", other], tmp_path)


def test_a_workspace_has_params_and_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        InputError, match=r"no params\.yaml and no dvc\.yaml in .*`hallmark init my-project` creates one"
    ):
        root_folder()
    (tmp_path / "params.yaml").write_text("")
    with pytest.raises(InputError, match=r"^no dvc\.yaml in"):
        root_folder()
    (tmp_path / "dvc.yaml").write_text("")
    assert root_folder() == tmp_path
