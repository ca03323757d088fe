"""``hallmark crossval`` with the real Prefect, DVC and MLflow: folds without leaks, and one model of them."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from tests.conftest import make_clone

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Clone

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(900)]
PROGRAM = (
    "import sys, mlflow, pandas as pd, pathlib\n"
    "model = mlflow.pyfunc.load_model('models:/hallmark@crossval')\n"
    "frame = pd.DataFrame({'image': [pathlib.Path(sys.argv[1]).read_bytes()]})\n"
    "print(model.predict(frame).to_json(orient='records'))\n"
)
COMMAND = ("crossval", "--folds", "3", "--jobs", "2", "--register")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, home: Path, digits: Path, prefect_server: str) -> Clone:
    folder = tmp_path_factory.mktemp("crossval")
    source = folder / "source"
    shutil.copytree(digits, source)
    for number in range(10, 14):  # copies, which must share their original's fold
        shutil.copy(source / "0" / f"{number:03d}.png", source / "0" / f"copy{number}.png")
    overrides = ("preset=quick", f"ingest.source={source}", "clean.duplicates=flag")
    return make_clone(folder / "workspace", home, *overrides).served_by(prefect_server)


@pytest.fixture(scope="module")
def judged(workspace: Clone) -> str:
    """What the command said, run once for all tests of this file, in whatever process they are."""
    done = workspace.hallmark(*COMMAND)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_folds_are_judged_kept_and_registered_as_one(workspace: Clone, digits: Path, judged: str) -> None:
    assert "macro f1" in judged
    home = workspace.root / ".hallmark" / "experiments" / "crossval"
    table = pd.read_parquet(home / "out_of_fold.parquet")
    split = pd.read_parquet(workspace.root / "data" / "split" / "split.parquet").set_index("path")
    rows = split.loc[table["path"].tolist()]
    assert set(rows["split"]) == {"train", "val"}, "an image of the test set was judged"
    assert table["path"].is_unique
    everyone = split[(split["split"] != "test") & split["representative"]]
    assert set(table["path"]) == set(everyone.index), "not every image was judged"
    assert set(table["fold"]) == {1, 2, 3}
    assert np.allclose(table[["0", "1", "2"]].sum(axis=1), 1, atol=1e-6)
    # what the table says can be computed from it
    accuracy = (table["label"] == table["predicted"]).groupby(table["fold"]).mean().mean()
    row = next(line for line in judged.splitlines() if line.startswith("accuracy"))
    assert float(row.split()[1]) == pytest.approx(accuracy, abs=6e-5)
    # nothing is left of the folds' trees, and nothing of the pipeline was touched
    assert not (home / "trees").exists()
    assert not (workspace.root / "data" / "train").exists()
    assert (workspace.root / "reports" / "crossvalidation.html").read_text().count("<svg") == 1

    image = digits / "1" / "020.png"
    loaded = subprocess.run(
        [sys.executable, "-I", "-c", PROGRAM, str(image)],
        cwd=digits,
        env={**workspace.environment, "MLFLOW_TRACKING_URI": f"sqlite:///{workspace.root / 'mlflow.db'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert loaded.returncode == 0, loaded.stderr
    answer = json.loads(loaded.stdout.splitlines()[-1])[0]
    assert sum(value for name, value in answer.items() if name.startswith("probability_")) == pytest.approx(1, abs=1e-5)

    again = workspace.hallmark(*COMMAND)
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count("reused") == 3, again.stdout
    with sqlite3.connect(workspace.root / "mlflow.db") as connection:
        assert connection.execute("SELECT count(*) FROM model_versions").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM runs WHERE status = 'RUNNING'").fetchone() == (0,)


@pytest.mark.usefixtures("judged")
def test_each_fold_cleans_and_balances_its_own_training_part(workspace: Clone) -> None:
    """The decisions of the folds remove nothing that they hold out, and the copies lie in one fold."""
    table = pd.read_parquet(workspace.root / ".hallmark" / "experiments" / "crossval" / "out_of_fold.parquet")
    split = pd.read_parquet(workspace.root / "data" / "split" / "split.parquet")
    copies = split[split["cluster_size"] > 1]
    assert len(copies) >= 8
    fold = table.set_index("path")["fold"]
    for _, members in copies.groupby("cluster"):
        assert members["path"].isin(fold.index).sum() <= 1, "two copies were judged as two images"
    too_many = workspace.hallmark("crossval", "--folds", "500")
    assert too_many.returncode == 2, too_many.stdout + too_many.stderr
    assert "--folds is 500" in too_many.stderr


@pytest.mark.usefixtures("judged")
def test_clean_takes_the_predictions_and_a_cross_validation_does_not(workspace: Clone) -> None:
    table = workspace.root / ".hallmark" / "experiments" / "crossval" / "out_of_fold.parquet"
    before = table.read_bytes()
    shutil.copy(table, workspace.root / "data" / "out_of_fold.parquet")
    setting = "clean.out_of_fold=data/out_of_fold.parquet"
    try:
        assert workspace.hallmark("configure", setting).returncode == 0
        again = workspace.hallmark(*COMMAND)
    finally:
        assert workspace.hallmark("configure", "clean.out_of_fold=data/none").returncode == 0
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count("reused") == 3, again.stdout
    assert table.read_bytes() == before
    detectors = json.loads((workspace.root / "reports" / "clean.json").read_text())["detectors"]
    assert detectors["crossvalidated"] >= len(pd.read_parquet(table))
