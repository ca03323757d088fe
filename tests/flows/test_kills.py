"""Killed anywhere, nothing is lost: SIGKILL to the whole process group at random moments, then run again."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Clone

WATCHED = (
    "data/train/model.safetensors",
    "reports/evaluate.json",
    "reports/ledger.csv",
    "data/synthesize/manifest.parquet",
)


def kill_after(clone: Clone, command: list[str], seconds: float) -> int | None:
    """Starts the command as a process group, kills the group after so many seconds; its exit code if it was done."""
    process = clone.start(*command)
    try:
        return process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None


def registry(clone: Clone) -> tuple[list[tuple[str, int]], list[str]]:
    """(name, version) of every registered version, and the ids of the runs left RUNNING."""
    with sqlite3.connect(clone.root / "mlflow.db") as connection:
        versions = connection.execute("SELECT name, version FROM model_versions").fetchall()
        running = connection.execute("SELECT run_uuid FROM runs WHERE status = 'RUNNING'").fetchall()
    return versions, [row[0] for row in running]


def survive(
    make: Callable[..., Clone], overrides: tuple[str, ...], *, kills: int, engine: str, seed: int, **environment: str
) -> float:
    """Runs once whole, then in a second workspace with kills at random moments of that length, and compares.

    Returns the seconds of the whole run.
    """
    commands = {"hallmark": ["-m", "flows.cli", "run"], "dvc": ["-m", "dvc", "repro"]}
    command = commands[engine]
    whole = make("whole", *overrides)
    whole.environment.update(environment)
    started = time.monotonic()
    done = whole.call(*command)
    length = time.monotonic() - started
    assert done.returncode == 0, done.stdout + done.stderr

    broken = make("broken", *overrides)
    broken.environment.update(environment)
    moments = random.Random(seed)
    killed = 0
    for _ in range(3 * kills):
        if killed == kills:
            break
        if kill_after(broken, command, moments.uniform(0.5, 0.45 * length)) is None:
            killed += 1
        else:  # it got through: take away what DVC knows, so that the next kill meets work again
            (broken.root / "dvc.lock").unlink(missing_ok=True)
            shutil.rmtree(broken.root / ".dvc" / "cache", ignore_errors=True)
    assert killed == kills
    final = broken.hallmark("run")
    assert final.returncode == 0, final.stdout + final.stderr
    if engine == "dvc":
        repro = broken.dvc("repro")
        assert repro.returncode == 0, repro.stdout + repro.stderr
    mine, theirs = whole.outputs(), broken.outputs()
    for name in WATCHED:
        assert mine[name] == theirs[name], name
    versions, running = registry(broken)
    assert len(versions) == 1, versions
    assert running == []
    assert list(broken.root.rglob(".partial-*")) == []
    return length


@pytest.mark.pipeline
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("kills", [5, pytest.param(20, marks=pytest.mark.campaign)])
def test_kills_of_the_flow_lose_nothing(
    clone: Callable[..., Clone], digits: Path, prefect_server: str, kills: int
) -> None:
    overrides = ("preset=quick", f"ingest.source={digits}")
    survive(clone, overrides, kills=kills, engine="hallmark", seed=0, PREFECT_API_URL=prefect_server)


@pytest.mark.campaign
@pytest.mark.parametrize("engine", ["hallmark", "dvc"])
@pytest.mark.timeout(7200)
def test_kills_of_the_demo_lose_nothing(clone: Callable[..., Clone], engine: str) -> None:
    length = survive(clone, (), kills=20, engine=engine, seed=1)
    print(f"{engine}: 20 kills survived, a whole run takes {length:.0f} s")  # noqa: T201  the campaign's figure
