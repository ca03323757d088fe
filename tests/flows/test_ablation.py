"""``hallmark ablate`` with the real Prefect, DVC and MLflow: verdicts, kills, and the workspace left as it was."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import time
from typing import TYPE_CHECKING

import pytest

from tests.conftest import make_clone

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Clone

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(900)]

BAD = """
slow:
  off: {train.lr: auto}
  on: {train.lr: 1.0e-6}
clean:
  off: {clean.duplicates: flag, clean.outliers: "off", clean.label_issues: "off"}
  on: {clean.duplicates: remove, clean.outliers: remove, clean.label_issues: remove}
mixup:
  off: {train.mixup: 0.0}
  on: {train.mixup: 0.2}
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, home: Path, digits: Path, prefect_server: str) -> Clone:
    """A bad learning rate is planted, which an ablation has to find; two wrong labels give clean something to do."""
    folder = tmp_path_factory.mktemp("ablate")
    source = folder / "source"
    shutil.copytree(digits, source)
    for number in (1, 2):
        (source / "0" / f"{number:03d}.png").rename(source / "1" / f"wrong{number}.png")
    fresh = make_clone(
        folder / "workspace", home, "preset=quick", f"ingest.source={source}", "train.lr=1e-6", "train.max_epochs=15"
    ).served_by(prefect_server)
    (fresh.root / "conf" / "ablation" / "mine.yaml").write_text(BAD)
    return fresh


def test_a_kill_loses_no_finished_training_and_the_verdicts_are_right(workspace: Clone) -> None:
    command = ["-m", "flows.cli", "ablate", "slow", "clean", "mixup", "--file", "mine", "--seeds", "3"]
    process = workspace.start(*command)
    trials = workspace.root / ".hallmark" / "experiments" / "ablate" / "trials"
    deadline = time.monotonic() + 500
    while len(list(trials.glob("*/result.json"))) < 2:
        assert process.poll() is None, "it was done before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    finished = {path: path.stat().st_mtime_ns for path in trials.glob("*/result.json")}
    assert (workspace.root / ".hallmark" / "experiments" / "ablate" / "trees").exists()
    params = (workspace.root / "params.yaml").read_bytes()
    written = ("reports/ablation.html", "data/ablation.json")
    before = {name: data for name, data in workspace.outputs().items() if name not in written}
    lock = (workspace.root / "dvc.lock").read_bytes()

    done = workspace.hallmark(*command[2:])
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("  reused  (") >= len(finished) - 1
    assert {path: path.stat().st_mtime_ns for path in finished} == finished, "a finished training was repeated"
    assert "without clean: inputs ready (0 of 4 stages ran)" in done.stdout, "nothing came from the shared cache"
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.startswith(("slow", "clean", "mixup"))}
    assert rows["slow"].endswith("drop"), rows
    assert 'hallmark configure train.lr="auto"' in done.stdout
    # nothing of the workspace is touched, nothing is left
    assert (workspace.root / "params.yaml").read_bytes() == params
    assert (workspace.root / "dvc.lock").read_bytes() == lock
    after = {name: data for name, data in workspace.outputs().items() if name not in written}
    assert after == before
    assert not (workspace.root / ".hallmark" / "experiments" / "ablate" / "trees").exists()
    page = (workspace.root / "reports" / "ablation.html").read_text()
    assert page.count("<svg") == 2
    assert "<script" not in page
    report = json.loads((workspace.root / "data" / "ablation.json").read_text())
    assert {each["name"]: each["verdict"] for each in report["findings"]}["slow"] == "drop"

    with sqlite3.connect(workspace.root / "mlflow.db") as connection:
        runs = connection.execute("SELECT run_uuid, status FROM runs").fetchall()
        tags = {(run, key): value for run, key, value in connection.execute("SELECT run_uuid, key, value FROM tags")}
    assert "RUNNING" not in {status for _, status in runs}
    trained = [run for run, _ in runs if tags[run, "hallmark.stage"] == "train"]
    assert all((run, "mlflow.parentRunId") in tags for run in trained)
    seeds = {(tags[run, "hallmark.side"], tags[run, "hallmark.seed"]) for run in trained}
    assert {(side, str(seed)) for side in ("as it is", "slow", "clean", "mixup") for seed in range(3)} == seeds


def test_the_verdict_can_be_applied(workspace: Clone) -> None:
    done = workspace.hallmark("ablate", "slow", "--file", "mine", "--seeds", "3", "--apply")
    assert done.returncode == 0, done.stdout + done.stderr
    text = (workspace.root / "params.yaml").read_text()
    assert "lr: auto" in text
    assert "# peak learning rate; auto" in text
    wrong = workspace.hallmark("ablate", "sloww", "--file", "mine")
    assert wrong.returncode == 2
    assert "did you mean 'slow'?" in wrong.stderr
