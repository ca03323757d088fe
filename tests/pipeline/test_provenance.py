"""reports/run.js: when, from what and which commit, of one page alone."""

from __future__ import annotations

import json
import subprocess
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from hallmark.pipeline import provenance
from hallmark.pipeline.execution import record_run

if TYPE_CHECKING:
    from pathlib import Path

RAN = {"state": "ran", "seconds": 1.0}


def git(root: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    return subprocess.run(
        ["git", *identity, *arguments], cwd=root, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "params.yaml").write_text("ingest:\n  source: /data/</script>birds\n")
    git(tmp_path, "add", "params.yaml")
    git(tmp_path, "commit", "-qm", "one")
    (tmp_path / "reports").mkdir()
    page(tmp_path, "ab12")
    return tmp_path


def page(root: Path, name: str) -> None:
    (root / "reports" / "index.html").write_text(f'<!doctype html>\n<html lang="en" data-page="{name}">')


def facts(root: Path) -> dict[str, object]:
    return provenance.read_script(root / "reports" / "run.js")


def test_a_page_has_a_time_a_source_and_a_commit(root: Path) -> None:
    before = datetime.now().astimezone().replace(microsecond=0)
    record_run("report", RAN, root)
    recorded = facts(root)
    assert recorded["page"] == "ab12"
    assert recorded["source"] == "/data/</script>birds"
    assert recorded["commit"] == git(root, "rev-parse", "HEAD")
    assert recorded["changed"] is False
    made = datetime.fromisoformat(str(recorded["made"]))
    assert before <= made <= datetime.now().astimezone()
    assert "</script>" not in (root / "reports" / "run.js").read_text()
    assert json.loads((root / "reports" / "run.json").read_text())["report"] == RAN


def test_other_stages_say_nothing_of_the_page(root: Path) -> None:
    record_run("train", RAN, root)
    assert not (root / "reports" / "run.js").exists()


def test_what_the_pipeline_writes_itself_is_no_change(root: Path) -> None:
    (root / "dvc.lock").write_text("a")
    (root / "reports" / "train.json").write_text("{}")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "two")
    (root / "dvc.lock").write_text("b")
    (root / "reports" / "train.json").write_text("[]")
    record_run("report", RAN, root)
    assert facts(root)["changed"] is False
    (root / "params.yaml").write_text("ingest:\n  source: elsewhere\n")
    record_run("report", RAN, root)
    assert facts(root)["changed"] is True
    assert facts(root)["source"] == "elsewhere"


def test_a_page_up_to_date_keeps_its_time_and_a_restored_one_has_none(root: Path) -> None:
    record_run("report", RAN, root)
    first = (root / "reports" / "run.js").read_bytes()
    record_run("report", {"state": "cached", "seconds": 0.0}, root)
    assert (root / "reports" / "run.js").read_bytes() == first
    page(root, "cd34")
    record_run("report", {"state": "cached", "seconds": 0.0}, root)
    assert facts(root)["page"] == "cd34"
    assert facts(root)["made"] is None
    record_run("report", {"state": "restored", "seconds": 0.0}, root)
    assert facts(root)["made"] is not None


def test_a_torn_script_and_a_folder_without_git_are_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    (tmp_path / "params.yaml").write_text("ingest:\n  source: data/demo\n")
    (tmp_path / "reports" / "run.js").write_text("window.hallmarkRun={")
    record_run("report", {"state": "cached", "seconds": 0.0}, tmp_path)
    recorded = facts(tmp_path)
    assert recorded["page"] is None
    assert recorded["commit"] is None or isinstance(recorded["commit"], str)
    assert recorded["source"] == "data/demo"
