"""dvc.lock as DVC writes it, and a workspace with stages that are not ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from dvc.utils.serialize import dumps_yaml, modify_yaml, parse_yaml

from hallmark.contracts.errors import GateRefused, HallmarkError, InputError, MachineError
from hallmark.versioning.workspace import Workspace, spliced

if TYPE_CHECKING:
    from pathlib import Path

LONG = "python -m tasks train " + " ".join(f"--option-{number}=value" for number in range(20))


def entry(number: int) -> dict[str, Any]:
    return {
        "cmd": LONG,
        "deps": [{"path": "a b.py", "hash": "md5", "md5": f"{number:032d}", "size": number}],
        "params": {"params.yaml": {"train": {"lr": 0.001, "policy": [{"name": "Rotate", "p": None}], "note": "on: x"}}},
        "outs": [{"path": "data/ü", "hash": "md5", "md5": "e" * 32 + ".dir", "size": 1, "nfiles": 2}],
    }


def by_dvc(path: Path, name: str, content: dict[str, Any]) -> str:
    with modify_yaml(str(path)) as data:
        if not data:
            data["schema"] = "2.0"
        data.setdefault("stages", {})[name] = content
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("order", [["ingest", "split", "clean"], ["clean", "ingest", "clean", "split", "ingest"]])
def test_an_entry_is_set_as_dvc_sets_it(tmp_path: Path, order: list[str]) -> None:
    path = tmp_path / "dvc.lock"
    path.touch()
    lock = ""
    for number, name in enumerate(order):
        lock = spliced(lock, name, dumps_yaml({"stages": {name: entry(number)}}))
        assert lock == by_dvc(path, name, entry(number))
    assert list(parse_yaml(lock, "dvc.lock")["stages"]) == list(dict.fromkeys(order))


def test_sections_after_the_stages_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "dvc.lock"
    path.write_text("schema: '2.0'\nstages:\n  one:\n    cmd: x\ndatasets:\n- name: y\n")
    lock = spliced(path.read_text(), "two", dumps_yaml({"stages": {"two": entry(1)}}))
    assert lock == by_dvc(path, "two", entry(1))


def dvc(folder: Path, *arguments: str) -> None:
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "PYTHONWARNINGS": "ignore"}
    subprocess.run([sys.executable, "-m", "dvc", *arguments, "-q"], cwd=folder, check=True, env=environment)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    dvc(tmp_path, "init")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "x").write_text("x")
    stage = "cmd: cp images/x y\n    deps: [images/x]\n    outs: [y]"
    (tmp_path / "dvc.yaml").write_text(f"stages:\n  copy:\n    {stage}\n")
    return tmp_path


# pygtrie's, from inside DVC
@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")
def test_data_added_to_dvc_by_hand_is_not_a_stage(repository: Path) -> None:
    dvc(repository, "add", "images")
    workspace = Workspace(repository)
    assert workspace.order() == ["copy"]
    assert workspace.changed() == ["copy"]


@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")
def test_the_run_cache_replaces_an_output_from_git(repository: Path) -> None:
    dvc(repository, "repro")
    (repository / "dvc.lock").unlink()
    (repository / "y").unlink()
    (repository / "y").write_text("of another commit, in no cache")
    workspace = Workspace(repository)
    assert workspace.settle("copy") == "restored"
    assert (repository / "y").read_text() == "x"
    assert workspace.settle("copy") == "cached"


# an output in DVC's cache, and a report that Git keeps
WITH_REPORT = """
stages:
  copy:
    cmd: cp images/x y && cp images/x z
    deps: [images/x]
    outs: [y]
    metrics: [{z: {cache: false}}]
"""


@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")
@pytest.mark.parametrize("changed", ["y", "z", "y z"])
@pytest.mark.parametrize("back", [True, False], ids=["other_input", "same_input"])
def test_the_run_cache_replaces_a_changed_output(repository: Path, changed: str, back: bool) -> None:
    (repository / "dvc.yaml").write_text(WITH_REPORT)
    dvc(repository, "repro")
    (repository / "images" / "x").write_text("later")
    dvc(repository, "repro")
    for name in changed.split():
        (repository / name).unlink()
        (repository / name).write_text("changed by hand")
    expected = "later"
    if back:
        expected = "x"
        (repository / "images" / "x").write_text(expected)
    workspace = Workspace(repository)
    assert workspace.settle("copy") == "restored"
    assert [(repository / name).read_text() for name in "yz"] == [expected] * 2
    assert workspace.settle("copy") == "cached"
    assert workspace.changed() == []


@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")
@pytest.mark.parametrize("changed", ["y", "z"])
def test_a_changed_output_is_stale_without_a_run_cache(repository: Path, changed: str) -> None:
    (repository / "dvc.yaml").write_text(WITH_REPORT)
    dvc(repository, "repro")
    shutil.rmtree(repository / ".dvc" / "cache" / "runs")
    (repository / changed).unlink()
    (repository / changed).write_text("changed by hand")
    workspace = Workspace(repository)
    assert workspace.settle("copy") == "stale"


@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")
@pytest.mark.parametrize(("code", "kind"), [(1, HallmarkError), (2, InputError), (3, GateRefused), (4, MachineError)])
def test_a_failed_command_raises_the_matching_error(repository: Path, code: int, kind: type[HallmarkError]) -> None:
    (repository / "fail.py").write_text(f"import sys\nprint('what is wrong', file=sys.stderr)\nsys.exit({code})\n")
    (repository / "dvc.yaml").write_text("stages: {copy: {cmd: python fail.py, deps: [images/x], outs: [y]}}")
    with pytest.raises(HallmarkError, match="what is wrong") as raised:
        Workspace(repository).settle_by_command("copy")
    assert type(raised.value) is kind
