"""Bad input gets one clear message with the remedy and the right exit code, no traceback; earlier outputs stay."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import make_clone

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Clone

pytestmark = pytest.mark.pipeline


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, home: Path, prefect_server: str) -> Clone:
    fresh = make_clone(tmp_path_factory.mktemp("bad") / "workspace", home, "preset=quick")
    return fresh.served_by(prefect_server)


def refuse(clone: Clone, code: int, *words: str, arguments: tuple[str, ...] = (), command: str = "run") -> str:
    """Runs, expecting that exit code and those words in a message without a traceback."""
    before = clone.outputs()
    done = clone.hallmark(command, *arguments)
    output = done.stdout + done.stderr
    assert done.returncode == code, output
    assert "Traceback" not in output
    for word in words:
        assert word in output, output
    after = clone.outputs()
    # ingest accounted for the new source before a later stage refused it; nothing else may have changed
    others = [name for name in before if not name.startswith(("data/ingest/", "reports/ingest"))]
    assert [name for name in others if after.get(name) != before[name]] == []
    return output


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.optimizr=adam", ("train.optimizr", "did you mean", "params.yaml")),
        ("train.lr=-1", ("train.lr", "-1")),
        ("train.lr=quick", ("train.lr", "must be a number")),
        ("model.name=resnett", ("resnett", "did you mean 'resnet'")),
        ("model=resnett", ("resnett",)),
        ("split.shares.train=2", ("split",)),
        ("clean.out_of_fold=", ("clean.out_of_fold is empty", "data/none")),
        ("synthesize.external=''", ("synthesize.external is empty", "data/none")),
        ("validate.suites=''", ("validate.suites is empty",)),
    ],
)
def test_params_that_are_wrong(workspace: Clone, override: str, words: tuple[str, ...]) -> None:
    before = (workspace.root / "params.yaml").read_text()
    refuse(workspace, 2, *words, arguments=(override,))
    assert (workspace.root / "params.yaml").read_text() == before


def test_a_source_that_is_missing(workspace: Clone) -> None:
    refuse(
        workspace, 2, "ingest.source", "/no/such/place", "give the path", arguments=("ingest.source=/no/such/place",)
    )


@pytest.mark.parametrize("command", ["run", "crossval"])
@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("ingest.images", "data/none"),
        ("validate.suites", "give the folder"),
        ("clean.out_of_fold", "data/none"),
        ("synthesize.external", "data/none"),
    ],
)
def test_a_path_that_is_missing(clone: Callable[..., Clone], name: str, remedy: str, command: str) -> None:
    here = clone("here", "preset=quick", f"{name}=no/such/place")
    refuse(here, 2, f"{name}: there is no 'no/such/place'", remedy, command=command)


def test_a_source_that_is_empty(workspace: Clone, tmp_path: Path) -> None:
    refuse(workspace, 2, "is empty", arguments=(f"ingest.source={tmp_path}",))


def test_a_source_without_files(workspace: Clone, tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    refuse(workspace, 2, "no file", arguments=(f"ingest.source={tmp_path}",))


def test_one_class(workspace: Clone, digits: Path, tmp_path: Path) -> None:
    shutil.copytree(digits / "0", tmp_path / "0")
    output = refuse(workspace, 3, "class", "refusals", arguments=(f"ingest.source={tmp_path}",))
    assert (workspace.root / ".hallmark" / "refusals" / "validate" / "index.html").exists(), output
    answer = workspace.hallmark("report")
    assert "refusals/validate/index.html" in answer.stdout


def test_no_readable_image(workspace: Clone, tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(12):
            (tmp_path / name / f"{number}.png").write_text("not an image")
    refuse(workspace, 3, "validate", arguments=(f"ingest.source={tmp_path}",))


def test_a_manifest_with_the_wrong_columns(workspace: Clone, tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("file,class\na.png,cat\n")
    refuse(workspace, 2, "path", "label", "file", arguments=(f"ingest.source={tmp_path / 'manifest.csv'}",))


def test_a_source_one_may_not_read(workspace: Clone, tmp_path: Path) -> None:
    """Root may read everything, unless it gives that capability away first."""
    source = tmp_path / "locked"
    (source / "cat").mkdir(parents=True)
    (source / "cat" / "a.png").write_bytes(b"x")
    source.chmod(0)
    surrender = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]
    try:
        done = subprocess.run(
            [
                *(surrender if os.geteuid() == 0 else []),
                sys.executable,
                "-m",
                "flows.cli",
                "run",
                f"ingest.source={source}",
            ],
            cwd=workspace.root,
            env=workspace.environment,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        source.chmod(0o755)
    output = done.stdout + done.stderr
    assert done.returncode == 4, output
    assert "no permission" in output
    assert str(source) in output
    assert "Traceback" not in output


def test_a_second_run_while_one_is_active(workspace: Clone) -> None:
    lock = workspace.root / ".hallmark" / "lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("hallmark run, process 1")
        file.flush()
        refuse(workspace, 4, "another run is active", "process 1", "wait for it")
        stage = workspace.call("-m", "tasks", "ingest")
        assert stage.returncode == 4
        assert "another run is active" in stage.stderr


def test_not_a_git_repository(clone: Callable[..., Clone]) -> None:
    bare = clone("bare", "preset=quick")
    shutil.rmtree(bare.root / ".git")
    refuse(bare, 2, "not in a Git repository", "git init")


def test_not_a_workspace(clone: Callable[..., Clone]) -> None:
    other = clone("other")
    (other.root / "params.yaml").unlink()
    refuse(other, 2, "no params.yaml", "root of a Hallmark workspace")


def test_a_full_disk(clone: Callable[..., Clone], digits: Path) -> None:
    """A really full disk: a file system of one page, where this user may mount one."""
    small = clone("small", "preset=quick", f"ingest.source={digits}")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(small.root / "data")], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("may not mount a small file system here")
    try:
        (small.root / "data" / "review.csv").write_text("path,content_hash,decision,label,note,when\n")
        for name in ("accepted.json", "ablation.json"):  # empty: they take none of the disk's one page
            (small.root / "data" / name).touch()
        refuse(small, 2, "no 'data/none'", "git restore data/none")
        (small.root / "data" / "none").mkdir()
        refuse(small, 4, "the disk is full", "run again")
    finally:
        subprocess.run(["umount", "-l", str(small.root / "data")], check=True)
