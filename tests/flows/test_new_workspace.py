"""``hallmark init``: a workspace with the repository's settings and no code, or a message and nothing written."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from flows import new_workspace
from hallmark.contracts.errors import InputError, MachineError
from hallmark.quality import review
from tests.conftest import ROOT

SHARED = ("dvc.yaml", "conf/model/cnn.yaml", "conf/expectations/files.yaml", "data/none/README", ".gitignore")


def tree(folder: Path) -> set[str]:
    paths = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return {path.as_posix() for path in paths if path.parts[0] != ".git"}


def test_a_workspace_has_the_repositorys_settings_and_no_code(tmp_path: Path) -> None:
    root = new_workspace.create(tmp_path / "my project")
    assert root == tmp_path / "my project"
    for name in SHARED:
        assert (root / name).read_bytes() == (ROOT / name).read_bytes()
    mine, theirs = (yaml.safe_load((folder / "params.yaml").read_text()) for folder in (root, ROOT))
    assert mine == theirs | {"ingest": theirs["ingest"] | {"source": "data/demo", "images": "data/none"}}
    assert not {path for path in tree(root) if path.endswith(".py")}
    assert not {"tests", "benchmarks", "docs", "hallmark", "tasks", "flows"} & {path.name for path in root.iterdir()}
    assert (root / "README.md").read_text().startswith("# my project\n")
    assert (root / ".git").is_dir()
    assert review.read_review(root / "data/review.csv").empty
    page = (root / ".dvc" / yaml_free_config(root / ".dvc/config")).read_bytes()
    assert page == (ROOT / "hallmark/versioning/templates/plots.html").read_bytes()


def yaml_free_config(path: Path) -> str:
    (line,) = [line for line in path.read_text().splitlines() if "html_template" in line]
    return line.partition("=")[2].strip()


def test_the_source_is_relative_inside_the_workspace_and_absolute_outside(
    tmp_path: Path, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(digits.parent)
    root = new_workspace.create(tmp_path / "outside", Path(digits.name))
    assert yaml.safe_load((root / "params.yaml").read_text())["ingest"]["source"] == str(digits)
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "photos").symlink_to(digits)
    monkeypatch.chdir(tmp_path / "inside")
    root = new_workspace.create(Path("."), Path("photos"))
    assert yaml.safe_load((root / "params.yaml").read_text())["ingest"]["source"] == "photos"


def test_a_manifests_folder_of_images_is_watched(tmp_path: Path, digits: Path) -> None:
    shutil.copytree(digits, tmp_path / "set" / "images")
    (tmp_path / "set" / "set.csv").write_text("path,label\nimages/0/000.png,0\nimages/1/000.png,1\n")
    root = new_workspace.create(tmp_path / "work", tmp_path / "set" / "set.csv")
    settings = yaml.safe_load((root / "params.yaml").read_text())["ingest"]
    assert settings["source"] == str(tmp_path / "set" / "set.csv")
    assert settings["images"] == str(tmp_path / "set" / "images")


@pytest.mark.parametrize(
    ("there", "message"),
    [
        (["params.yaml", "notes.txt"], r"holds params\.yaml, which would be overwritten; give another folder"),
        (["params.yaml", "dvc.yaml"], r"overwritten; it is a workspace already: `hallmark run`"),
        (["conf/model/cnn.yaml"], r"holds conf/model/cnn\.yaml"),
        (["dvc.lock"], r"holds dvc\.lock"),
        (["tasks.py"], r"holds tasks\.py, which Python would import instead of Hallmark's code"),
        (["hallmark/__init__.py"], r"holds hallmark/__init__\.py"),
    ],
)
def test_a_folder_that_holds_a_file_of_ours_is_refused_untouched(
    tmp_path: Path, there: list[str], message: str
) -> None:
    for name in there:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=message):
        new_workspace.create(tmp_path)
    assert tree(tmp_path) == set(there)


def test_other_files_stay(tmp_path: Path) -> None:
    for name in ("notes.txt", "photos/cat/1.png", "tasks/list.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("mine")
    new_workspace.create(tmp_path)
    assert (tmp_path / "photos/cat/1.png").read_text() == "mine"
    assert {"notes.txt", "tasks/list.txt", "params.yaml"} <= tree(tmp_path)


def test_with_an_unusable_source_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for source, message in (("nowhere", "there is no"), ("empty", "is empty")):
        with pytest.raises(InputError, match=message):
            new_workspace.create(tmp_path / "new" / "deep", tmp_path / source)
        assert {path.name for path in tmp_path.iterdir()} == {"empty"}
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file' is no folder"):
        new_workspace.create(tmp_path / "file" / "new")


def test_no_repository_is_created_inside_another(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    root = new_workspace.create(tmp_path / "project")
    assert not (root / ".git").exists()


def test_without_git_the_message_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MachineError, match="git is not installed"):
        new_workspace.create(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_next_steps_lead_there(tmp_path: Path) -> None:
    steps = new_workspace.next_steps(tmp_path / "my project", tmp_path)
    assert "cd 'my project'" in steps
    assert "hallmark run" in steps
    assert "cd " not in new_workspace.next_steps(tmp_path, tmp_path)
