"""What a stage reads beside its tables is watched by DVC, under both engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hallmark.versioning.workspace import Workspace
from tests.images.conftest import png

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Clone

pytestmark = [
    pytest.mark.pipeline,
    # DVC reads a value of pygtrie that is going away
    pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning"),
]


def stale(workspace: Clone, stage: str) -> list[bool]:
    """Whether a stage has to run: what ``dvc repro`` and what ``hallmark run`` would decide."""
    answer = workspace.dvc("status", stage)
    assert answer.returncode == 0, answer.stderr
    return ["changed deps" in answer.stdout, stage in Workspace(workspace.root).changed()]


def test_an_image_changed_in_place_under_a_manifest_is_noticed(clone: Callable[..., Clone], tmp_path: Path) -> None:
    workspace = clone("a")
    pictures = tmp_path / "set" / "pictures"
    pictures.mkdir(parents=True)
    rows = []
    for number in range(4):
        (pictures / f"{number}.png").write_bytes(png(number))
        rows.append(f"pictures/{number}.png,{'ab'[number % 2]}")
    (tmp_path / "set" / "m.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    done = workspace.hallmark("configure", f"ingest.source={tmp_path / 'set' / 'm.csv'}")
    assert done.returncode == 0, done.stderr
    assert f"images: {pictures}" in (workspace.root / "params.yaml").read_text()
    done = workspace.dvc("repro", "ingest")
    assert done.returncode == 0, done.stderr + done.stdout
    assert stale(workspace, "ingest") == [False, False]
    (pictures / "1.png").write_bytes(png(9))
    assert stale(workspace, "ingest") == [True, True]
    # back to a folder, which is watched itself
    done = workspace.hallmark("configure", f"ingest.source={tmp_path / 'set'}")
    assert done.returncode == 0, done.stderr
    assert "images: data/none" in (workspace.root / "params.yaml").read_text()


def test_a_changed_image_from_elsewhere_is_noticed(
    clone: Callable[..., Clone], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = clone("a", f"synthesize.external={tmp_path / 'made'}")
    image = tmp_path / "made" / "a" / "1.png"
    image.parent.mkdir(parents=True)
    image.write_bytes(png(1))
    monkeypatch.chdir(workspace.root)
    paths = [str(dep) for dep in Workspace(workspace.root).repo.stage.load_one(name="synthesize").deps]
    assert str(tmp_path / "made") in paths
