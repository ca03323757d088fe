"""``hallmark tune`` with the real Prefect, MLflow and Optuna: results, kills, and the workspace left as it was."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from tests.conftest import make_clone
from tests.flows.test_prefect import ask

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Clone

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, home: Path, digits: Path, prefect_server: str) -> Clone:
    return make_clone(
        tmp_path_factory.mktemp("tune") / "workspace", home, "preset=quick", f"ingest.source={digits}", "train.lr=1e-5"
    ).served_by(prefect_server)


def runs(clone: Clone) -> list[tuple[str, str, str | None]]:
    """(stage, status, parent) of each MLflow run."""
    with sqlite3.connect(clone.root / "mlflow.db") as connection:
        runs = connection.execute("SELECT run_uuid, status FROM runs").fetchall()
        tags = connection.execute(
            "SELECT run_uuid, key, value FROM tags WHERE key IN ('hallmark.stage', 'mlflow.parentRunId')"
        ).fetchall()
    by = {(run, key): value for run, key, value in tags}
    return [(by[run, "hallmark.stage"], status, by.get((run, "mlflow.parentRunId"))) for run, status in runs]


def trials(clone: Clone) -> list[str]:
    """The state of each trial of the studies."""
    path = clone.root / ".hallmark" / "optuna.db"
    if not path.exists():
        return []
    with sqlite3.connect(path, timeout=20) as connection:
        try:
            return [state for (state,) in connection.execute("SELECT state FROM trials")]
        except sqlite3.OperationalError:  # the tables are not there yet
            return []


def test_a_misspelt_space_is_reported_before_anything_starts(workspace: Clone) -> None:
    (workspace.root / "mine.yaml").write_text("train.learning_rate: {low: 0.001, high: 0.1}\n")
    done = workspace.hallmark("tune", "mine.yaml")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "mine.yaml, line 1" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Prefect" not in done.stdout


def test_a_misspelt_sampler_is_reported_before_anything_starts(workspace: Clone) -> None:
    answer = workspace.hallmark("tune", "quick", "--sampler", "grd")
    assert answer.returncode == 2
    assert "--sampler is 'grd'; did you mean 'grid'?" in answer.stderr
    assert "Starting the flow" not in answer.stdout


def test_a_grid_in_parallel_is_nested_shown_and_applied(workspace: Clone, prefect_server: str) -> None:
    before = (workspace.root / "params.yaml").read_text()
    done = workspace.hallmark(
        "tune", "quick", "--sampler", "grid", "--trials", "9", "--jobs", "2", "--confirm", "3", "--apply"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert trials(workspace) == ["COMPLETE"] * 9
    kinds = runs(workspace)
    parents = {parent for stage, _, parent in kinds if stage == "train"}
    assert len(parents) == 1
    assert None not in parents, "the trials' runs are not below the study's"
    # nine trials and the baseline; then the baseline and the two best over three new seeds
    assert [stage for stage, _, _ in kinds].count("train") == 10 + 9
    assert "Retrained with 3 new seeds" in done.stdout
    assert {status for _, status, _ in kinds} == {"FINISHED"}
    task_runs = ask(prefect_server, "task_runs/filter", {"task_runs": {"name": {"like_": "trial-"}}})
    # for a task with tags Prefect asks for concurrency slots, two seconds a trial
    # other tests' trials may be in the same database
    assert len(task_runs) >= 9
    assert [each["tags"] for each in task_runs if each["tags"]] == []
    page = (workspace.root / "reports" / "tuning.html").read_text()
    assert page.count("<svg") == 3
    assert "The best trials, retrained over 3 other seeds" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "<script" not in page
    after = (workspace.root / "params.yaml").read_text()
    assert "  lr: 0.01\n" in after or "  lr: 0.003\n" in after, "a rate of 1e-5 should have lost"
    assert len(after.splitlines()) == len(before.splitlines())
    assert "# peak learning rate; auto" in after
    # no output of the pipeline is touched
    assert not (workspace.root / "data" / "train").exists()
    assert not (workspace.root / "reports" / "train.json").exists()

    again = workspace.hallmark(
        "tune", "quick", "--sampler", "grid", "--trials", "9", "--study", "other", "--pruner", "x"
    )
    assert again.returncode == 2
    assert "--pruner is 'x'" in again.stderr


def test_pruning_gaussian_processes_and_latency(workspace: Clone) -> None:
    assert workspace.hallmark("configure", "train.max_epochs=6").returncode == 0
    # of the sampler's first six draws the last has by far the lowest rate; hyperband may end one of six, or none
    for sampler, pruner, least in (("random", "median", 1), ("gp", "hyperband", 0)):
        command = ("tune", "--sampler", sampler, "--pruner", pruner, "--trials", "6", "--no-baseline")
        done = workspace.hallmark(*command, "--study", pruner)
        assert done.returncode == 0, done.stdout + done.stderr
        complete, pruned = (done.stdout.count(f" {word}") for word in ("s  lr", "pruned: epoch"))
        assert complete + pruned == 6, done.stdout
        assert pruned >= least, done.stdout

    done = workspace.hallmark("tune", "quick", "--latency", "--sampler", "gp", "--trials", "3", "--study", "fast")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Best trade-offs of quality and latency" in done.stdout
    cells = next(line.split() for line in done.stdout.splitlines() if line.startswith("params.yaml  "))
    assert float(cells[2]) > 0, "the baseline has no latency"
    assert "ms an image" in (workspace.root / "reports" / "tuning.html").read_text()


def test_a_killed_study_goes_on(clone: Callable[..., Clone], digits: Path) -> None:
    workspace = clone("killed", "preset=quick", f"ingest.source={digits}", "train.max_epochs=60")
    command = ["tune", "quick", "--sampler", "random", "--trials", "4", "--no-baseline"]
    outlived = workspace.killed(*command, when=lambda: trials(workspace)[1:] == ["RUNNING"])
    trainers = [line for line in outlived if "spawn_main" in line]
    assert trainers == [], "a process that trains has outlived the one that started it"

    done = workspace.hallmark(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 trials of killed processes are repeated" in done.stdout
    states = trials(workspace)
    assert states.count("COMPLETE") == 4, states
    assert states.count("RUNNING") == 0, states
    assert [status for _, status, _ in runs(workspace) if status == "RUNNING"] == []
    assert list((workspace.root / ".hallmark" / "experiments" / "tune").rglob("*.safetensors")) == []
