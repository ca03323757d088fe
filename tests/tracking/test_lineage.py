from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from hallmark.tracking.lineage import digest, tags

if TYPE_CHECKING:
    from pathlib import Path


def git(root: Path, *arguments: str) -> str:
    names = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    return subprocess.run(["git", *names, *arguments], cwd=root, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in ("code.py", "dvc.lock", "params.yaml", "reports/train.json", ".gitignore"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("ignored\n" if name == ".gitignore" else "1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_what_the_pipeline_writes_does_not_make_it_dirty(repository: Path) -> None:
    clean = tags(repository)
    assert clean["hallmark.git.commit"] == git(repository, "rev-parse", "HEAD").strip()
    assert clean["hallmark.git.dirty"] == ""
    (repository / "reports" / "train.json").write_text("2\n")
    (repository / "reports" / "new.json").write_text("2\n")
    (repository / "ignored").write_text("2\n")
    (repository / "dvc.lock").write_text("2\n")
    (repository / "photos").mkdir()
    (repository / "photos" / "1.png").write_text("2\n")
    after = tags(repository)
    assert after["hallmark.git.dirty"] == ""
    assert after["hallmark.dvc_lock"] != clean["hallmark.dvc_lock"]


def test_changed_and_new_code_is_dirty(repository: Path) -> None:
    digests = {tags(repository)["hallmark.git.dirty"]}
    for name, text in (("code.py", "2\n"), ("code.py", "3\n"), ("new.py", "1\n"), ("new.py", "2\n")):
        (repository / name).write_text(text)
        digests.add(tags(repository)["hallmark.git.dirty"])
    assert len(digests) == 5


def test_outside_of_git_the_remaining_facts_are_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "params.yaml").write_text("seed: 0\n")
    assert set(tags(tmp_path)) == {"hallmark.params"}
    monkeypatch.setenv("PATH", "")
    assert set(tags(tmp_path)) == {"hallmark.params"}


def test_a_folder_is_its_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = digest(tmp_path)
    assert digest(tmp_path) == first
    (tmp_path / "a").rename(tmp_path / "b")
    second = digest(tmp_path)
    (tmp_path / "b").write_text("2")
    assert len({first, second, digest(tmp_path)}) == 3
