"""Prefect and DVC are two engines of one pipeline: the same bytes and dvc.lock, and neither redoes the other's work."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
import yaml

from tasks import STAGES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Clone

pytestmark = pytest.mark.pipeline
NAMES = [stage.name for stage in STAGES]


def ran(clone: Clone) -> dict[str, str]:
    entries = json.loads((clone.root / "reports" / "run.json").read_text())
    return {name: entries[name]["state"] for name in NAMES}


def edit(clone: Clone, name: str) -> None:
    path = clone.root / name
    path.write_text(path.read_text() + "\n# edited\n")


def test_both_engines_make_the_same_and_neither_redoes_the_other(
    clone: Callable[..., Clone], digits: Path, prefect_server: str
) -> None:
    # with the folds of a cross-validation, which train in the stage evaluate
    overrides = ("preset=quick", f"ingest.source={digits}", "evaluate.scheme=crossval", "evaluate.folds=2")
    one, other = clone("with spaces in its name", *overrides), clone("other", *overrides)

    done = one.hallmark("run")
    assert done.returncode == 0, done.stdout + done.stderr
    for expected in ("Stages", "accuracy", "balanced_accuracy", "version 1", "index.html", "ui --backend-store-uri"):
        assert expected in done.stdout, done.stdout
    assert set(ran(one).values()) == {"ran"}
    one, other = one.served_by(prefect_server), other.served_by(prefect_server)

    repro = other.dvc("repro")
    assert repro.returncode == 0, repro.stdout + repro.stderr
    assert "is empty" not in repro.stdout + repro.stderr

    mine, theirs = one.outputs(), other.outputs()
    assert "data/evaluate/out_of_fold.parquet" in mine
    assert sorted(mine) == sorted(theirs)
    assert [name for name in mine if mine[name] != theirs[name]] == []
    assert (one.root / "dvc.lock").read_text() == (other.root / "dvc.lock").read_text()

    # after either, the other has nothing to do
    again = one.dvc("repro")
    assert again.returncode == 0
    assert "Data and pipelines are up to date" in again.stdout + again.stderr
    nothing = other.hallmark("run")
    assert nothing.returncode == 0, nothing.stdout + nothing.stderr
    assert "Nothing to do" in nothing.stdout
    assert other.outputs() == theirs

    # a changed value re-runs its stage and what follows, and nothing before
    changed = one.hallmark("run", "train.lr=0.004")
    assert changed.returncode == 0, changed.stdout + changed.stderr
    states = ran(one)
    assert {name for name in NAMES if states[name] == "cached"} == set(NAMES[: NAMES.index("train")])
    assert states["train"] == "ran"
    assert states["evaluate"] == "ran"

    # changed back, all is restored from DVC's cache; the registry knows the model already
    back = one.hallmark("run", "train.lr=auto")
    assert back.returncode == 0, back.stdout + back.stderr
    states = ran(one)
    assert states["train"] == "restored"
    assert states["evaluate"] == "restored"

    # an edited helper of balance re-runs balance and what follows from it
    edit(other, "hallmark/sampling/plan.py")
    assert set(json.loads(other.dvc("status", "--json").stdout)) == {"code"}
    edited = other.hallmark("run")
    assert edited.returncode == 0, edited.stdout + edited.stderr
    states = ran(other)
    assert [name for name in NAMES[:4] if states[name] != "cached"] == []
    assert states["balance"] == "ran"

    # one that report alone uses re-runs report alone, one that no stage uses nothing, under either engine
    edit(one, "hallmark/reporting/words.py")
    edit(one, "hallmark/serving/server.py")
    repro = one.dvc("repro")
    assert re.findall(r"Running stage '(\w+)'", repro.stdout) == ["code", "report"], repro.stdout + repro.stderr
    edit(one, "hallmark/serving/server.py")
    unused = one.hallmark("run")
    assert "Nothing to do" in unused.stdout, unused.stdout + unused.stderr
    assert "up to date" in one.dvc("status").stdout


def test_dvc_commands_work(clone: Callable[..., Clone], digits: Path, tmp_path: Path, prefect_server: str) -> None:
    workspace = clone("workspace", "preset=quick", f"ingest.source={digits}").served_by(prefect_server)
    assert workspace.hallmark("run").returncode == 0
    workspace.git("add", "--all")
    workspace.git("commit", "--quiet", "--message=first run")

    experiment = workspace.dvc("exp", "run", "--set-param", "train.lr=0.003")
    assert experiment.returncode == 0, experiment.stdout + experiment.stderr
    assert yaml.safe_load((workspace.root / "params.yaml").read_text())["train"]["lr"] == 0.003

    difference = workspace.dvc("metrics", "diff", "--json", "--all")
    assert difference.returncode == 0, difference.stderr
    (metrics,) = json.loads(difference.stdout).items()
    assert metrics[0] == "reports/metrics.json"
    assert 8 <= len(metrics[1]) <= 15

    table = workspace.dvc("exp", "show", "--csv")
    assert table.returncode == 0, table.stderr
    columns = table.stdout.splitlines()[0].split(",")
    assert set(metrics[1]) <= set(columns)
    assert [name for name in columns if name.endswith((".py", ".html", ".css"))] == []
    assert len([name for name in columns if name.startswith("data/code/")]) == 1 + len(NAMES)

    plots = workspace.dvc("plots", "show")
    assert plots.returncode == 0, plots.stdout + plots.stderr
    assert "Hallmark" in (workspace.root / "dvc_plots" / "index.html").read_text()
    assert "dvc_plots" not in workspace.git("status", "--porcelain")

    remote = tmp_path / "remote"
    assert workspace.dvc("remote", "add", "--local", "--default", "here", str(remote)).returncode == 0
    pushed = workspace.dvc("push")
    assert pushed.returncode == 0, pushed.stdout + pushed.stderr
    before = workspace.outputs()
    for name in ("train", "ingest"):
        folder = workspace.root / "data" / name
        for path in sorted(folder.iterdir()):
            path.unlink()
        folder.rmdir()
    import shutil

    shutil.rmtree(workspace.root / ".dvc" / "cache")
    pulled = workspace.dvc("pull")
    assert pulled.returncode == 0, pulled.stdout + pulled.stderr
    assert workspace.outputs() == before
