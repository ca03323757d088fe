"""DVC hashes any data source, detects changes in it, and opens only regular files."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING

import pytest
import yaml
from dvc.repo import Repo
from dvc_data.hashfile import build as hashing

from hallmark.contracts.errors import HallmarkError
from hallmark.versioning.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# pygtrie's, from inside DVC
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose stage ingest depends on the folder source, which holds two images."""
    root = tmp_path / "workspace"
    (root / "source/cat").mkdir(parents=True)
    for name in ("a", "b"):
        (root / f"source/cat/{name}.png").write_bytes(name.encode())
    monkeypatch.chdir(root)
    subprocess.run(["git", "init", "-q"], check=True)
    Repo.init(str(root)).close()
    stage = {"cmd": "python -m tasks ingest", "deps": ["source"], "outs": ["out"]}
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"ingest": stage}}))
    settings = {"source": "source", "images": "data/none", "follow_outside": False}
    (root / "params.yaml").write_text(yaml.safe_dump({"ingest": settings}))
    (root / "out").write_text("made")
    return root


def changed(root: Path) -> bool:
    return Workspace(root).changed() == ["ingest"]


def digest(root: Path) -> str:
    Workspace(root).record("ingest")
    return str(yaml.safe_load((root / "dvc.lock").read_text())["stages"]["ingest"]["deps"][0]["md5"])


def plug(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(os.path.relpath(path))


def linked_pipe(path: Path) -> None:
    os.mkfifo(path.with_name("p.png"))
    path.with_name("l.png").symlink_to("p.png")
    path.symlink_to("l.png")


def not_utf8(path: Path) -> None:
    path.with_name(os.fsdecode(b"caf\xe9.png")).write_bytes(b"x")


def folder_not_utf8(path: Path) -> None:
    folder = path.with_name(os.fsdecode(b"\xe9"))
    folder.mkdir()
    (folder / "x.png").write_bytes(b"x")


def ignore_file(path: Path) -> None:
    path.with_name(".dvcignore").write_text("*.tmp")


ODD: dict[str, Callable[[Path], None]] = {
    "pipe": lambda path: os.mkfifo(path),
    "socket": plug,
    "broken link": lambda path: path.symlink_to("/nowhere/x.png"),
    "loop": lambda path: path.symlink_to(path.name),
    "link to a device": lambda path: path.symlink_to("/dev/zero"),
    "link outside": lambda path: path.symlink_to("/etc/passwd"),
    "link to a folder outside": lambda path: path.symlink_to("/etc"),
    "link to a folder above": lambda path: path.symlink_to(".."),
    "link to a link to a pipe": linked_pipe,
    "name in latin-1": not_utf8,
    "folder in latin-1": folder_not_utf8,
    "ignore file": ignore_file,
}


@pytest.mark.parametrize("kind", list(ODD))
def test_an_odd_file_is_hashed_by_its_name(workspace: Path, kind: str) -> None:
    before = digest(workspace)
    assert not changed(workspace)
    ODD[kind](workspace / "source/cat/odd.png")
    assert changed(workspace)
    after = digest(workspace)
    assert after != before
    assert not changed(workspace)
    (workspace / "source/cat/new.png").write_bytes(b"new")
    assert changed(workspace)


def test_a_folder_without_odd_files_has_dvcs_own_hash(workspace: Path) -> None:
    (workspace / "source/cat/link.png").symlink_to("a.png")
    (workspace / "source/cat/deep").mkdir()
    (workspace / "source/cat/deep/c.png").write_bytes(b"c" * 3 * 2**20)
    (workspace / "source/cat/deep/d.png").write_bytes(b"d" * 3 * 2**20)
    ours = digest(workspace)
    repo = Repo(str(workspace))
    arguments = (repo.cache.local, str(workspace / "source"), repo.fs, "md5")
    _, _, tree = hashing.build(*arguments, dry_run=True, ignore=repo.dvcignore)
    assert ours == tree.hash_info.value


def test_content_behind_odd_names_and_links_is_watched(workspace: Path) -> None:
    cat = workspace / "source/cat"
    name = cat / os.fsdecode(b"caf\xe9.png")
    name.write_bytes(b"x")
    (workspace / "source/dog").symlink_to("cat")
    digest(workspace)
    assert not changed(workspace)
    name.write_bytes(b"another")
    assert changed(workspace)


def test_files_outside_are_watched_if_followed(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "else").mkdir()
    (tmp_path / "else/c.png").write_bytes(b"c")
    (workspace / "source/dog").symlink_to(tmp_path / "else")
    (workspace / "source/cat/c.png").symlink_to(tmp_path / "else/c.png")
    digest(workspace)
    (tmp_path / "else/c.png").write_bytes(b"changed")
    assert not changed(workspace)
    settings = {"source": "source", "images": "data/none", "follow_outside": True}
    (workspace / "params.yaml").write_text(yaml.safe_dump({"ingest": settings}))
    digest(workspace)
    (tmp_path / "else/d.png").write_bytes(b"d")
    assert changed(workspace)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become nobody")
def test_a_file_that_becomes_readable_is_noticed(workspace: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from hallmark.versioning import dependencies as d; d.teach();"
        "from dvc_data.hashfile import build; os.seteuid(65534);"
        "info = {'hallmark_path': sys.argv[1], 'type': 'file', 'size': 1, 'mode': 0, 'ino': 5, 'mtime': 7.0};"
        "from dvc.fs import localfs; _, digest = build.hash_file(sys.argv[1], localfs, 'md5', info=info);"
        "print(digest.value, info['ino'])"
    )
    path = workspace / "source/cat/a.png"
    path.chmod(0)
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.split()[1] == "0", "DVC would cache the digest of a file that it could not read"


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("/nowhere", path)])
def test_a_source_that_is_not_a_file_is_refused(workspace: Path, make: Callable[[str], None]) -> None:
    (workspace / "source").rename(workspace / "moved")
    make("source")
    with pytest.raises(HallmarkError, match="neither a folder nor a readable regular file"):
        Workspace(workspace).changed()


def test_plain_dvc_commands_work_too(workspace: Path) -> None:
    os.mkfifo(workspace / "source/cat/pipe.png")
    not_utf8(workspace / "source/cat/x")
    (workspace / "source/cat/gone.png").symlink_to("nowhere")
    digest(workspace)
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "status"],
        capture_output=True, text=True, env=environment, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "up to date" in done.stdout, "is hallmark_dvc.pth installed? `make setup` installs it"


def test_dependencies_of_other_stages_are_left_to_dvc(workspace: Path) -> None:
    text = (workspace / "dvc.yaml").read_text().replace("python -m tasks ingest", "cp -r source out")
    (workspace / "dvc.yaml").write_text(text)
    (workspace / "source/cat/gone.png").symlink_to("nowhere")
    with pytest.raises(OSError, match=r"gone\.png"):
        Workspace(workspace).record("ingest")


@pytest.fixture
def code(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the installed packages hallmark and tasks, on whose code the workspace's only stage depends."""
    packages = tmp_path / "packages"
    for name in ("hallmark", "tasks"):
        (packages / name / "deep").mkdir(parents=True)
        (packages / name / "__init__.py").write_text(name)
        (packages / name / "deep" / "module.py").write_text(name)
    specs = {
        name: ModuleSpec(name, None, origin=str(packages / name / "__init__.py")) for name in ("hallmark", "tasks")
    }
    monkeypatch.setattr("hallmark.versioning.dependencies.importlib.util.find_spec", specs.get)
    stage = {"cmd": "python -m tasks code", "deps": ["hallmark", "tasks"], "outs": ["out"]}
    (workspace / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"code": stage}}))
    return packages


def recorded(root: Path) -> list[dict[str, object]]:
    Workspace(root).record("code")
    deps: list[dict[str, object]] = yaml.safe_load((root / "dvc.lock").read_text())["stages"]["code"]["deps"]
    return deps


def test_without_code_in_the_workspace_the_installed_packages_count(workspace: Path, code: Path) -> None:
    installed = recorded(workspace)
    assert [each["path"] for each in installed] == ["hallmark", "tasks"]
    assert Workspace(workspace).changed() == []
    (code / "hallmark" / "deep" / "module.py").write_text("upgraded")
    assert Workspace(workspace).changed() == ["code"]
    (code / "hallmark" / "deep" / "module.py").write_text("hallmark")
    assert Workspace(workspace).changed() == []

    # the same code in the workspace has the same digest, and is what counts there
    for name in ("hallmark", "tasks"):
        shutil.copytree(code / name, workspace / name)
    assert Workspace(workspace).changed() == []
    assert recorded(workspace) == installed
    (code / "hallmark" / "deep" / "module.py").write_text("upgraded")
    assert Workspace(workspace).changed() == []
    (workspace / "hallmark" / "deep" / "module.py").write_text("edited")
    assert Workspace(workspace).changed() == ["code"]


def test_bytecode_of_installed_packages_does_not_count(workspace: Path, code: Path) -> None:
    recorded(workspace)
    (code / "tasks" / "deep" / "__pycache__").mkdir()
    (code / "tasks" / "deep" / "__pycache__" / "module.cpython-311.pyc").write_bytes(b"new")
    assert Workspace(workspace).changed() == []


def test_a_folder_of_that_name_without_code_is_the_users(workspace: Path, code: Path) -> None:
    before = recorded(workspace)
    (workspace / "tasks").mkdir()
    (workspace / "tasks" / "list.txt").write_text("mine")
    assert Workspace(workspace).changed() == []
    assert recorded(workspace) == before
