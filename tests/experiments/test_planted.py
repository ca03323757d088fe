"""Interventions that were planted to do harm are refused: flips and copying generators by their own gates
(tests/tasks/test_augment.py, tests/tasks/test_synthesize.py), oversampling by wrong labels here."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hallmark.contracts.tables import DECISIONS, PLAN, read_table, write_table
from hallmark.experiments import ablation, trial
from hallmark.experiments.ablation import AS_IT_IS
from hallmark.experiments.interventions import Intervention
from hallmark.judgement import paired
from hallmark.pipeline.configuration import params_with
from hallmark.pipeline.params import read
from tasks import STAGES
from tests.learning import workspace

if TYPE_CHECKING:
    import pytest

    from hallmark.experiments.trial import Outcome

ROOT = Path(__file__).parents[2]
TRAIN = next(stage for stage in STAGES if stage.name == "train")
RARE, COMMON = "1", "3"  # images of threes, called ones
TRUE, WRONG = 3, 14
HELD_OUT = 2  # validation images of the rare class, which is rare there too
OVERSAMPLE = {"balance.strategy": "oversample", "balance.max_repeats": 10}
NONE = {"balance.strategy": "none"}


def planted(root: Path, *, flagged: bool) -> None:
    """Digits of which a rare class holds more wrong labels than right ones; flagged by clean, or not."""
    folders = workspace.make(root, count=500, classes=4)
    decisions = read_table(folders["clean"] / "decisions.parquet", DECISIONS)
    train = decisions["split"] == "train"
    rare = decisions.index[train & (decisions["label"] == RARE)]
    held_out = decisions.index[(decisions["split"] == "val") & (decisions["label"] == RARE)]
    decisions = decisions.drop(index=[*rare[TRUE:], *held_out[HELD_OUT:]])
    common = decisions.index[(decisions["split"] == "train") & (decisions["label"] == COMMON)]
    # far apart: neighbours in this set are one writer's, whom a network would learn as the rare class
    wrong = common[:: len(common) // WRONG][:WRONG]
    decisions.loc[wrong, ["label", "found_label"]] = RARE
    if flagged:
        decisions.loc[wrong, ["fate", "stage", "reasons"]] = ["flagged", "clean", "label_issue"]
    write_table(decisions, DECISIONS, folders["clean"] / "decisions.parquet")


def params(values: dict[str, Any]) -> dict[str, Any]:
    quick = {
        "model.name": "perceptron",  # learns no single image by heart
        "train.max_epochs": 12,
        "train.lr": 0.01,
        "train.keep": "last",
        **values,
    }
    return params_with(STAGES, read(ROOT / "params.yaml"), quick, package="tasks")


def outcomes(root: Path, values: dict[str, Any], *, seeds: int) -> list[Outcome]:
    """The stages balance and train, once and over seeds."""
    sections = params(values)
    folders = {name: root / "data" / name for name in ("split", "clean", "balance")}
    importlib.import_module("tasks.balance").run(sections["balance"], **folders)
    results = []
    for seed in range(seeds):
        train = dataclasses.replace(sections["train"], seed=seed)
        folder = root / "trials" / f"{values['balance.strategy']}{seed}"
        job = trial.Job(
            stage=TRAIN, package="tasks", params=train, data=root, folder=folder, cache=root / ".hallmark" / "cache"
        )
        results.append(trial.run(job))
    return results


def test_oversampling_by_wrong_labels_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    planted(tmp_path, flagged=False)
    step = Intervention(name="balance", off=NONE, on=OVERSAMPLE, active=True)
    runs = {AS_IT_IS: outcomes(tmp_path, OVERSAMPLE, seeds=3), "balance": outcomes(tmp_path, NONE, seeds=3)}
    (finding,) = ablation.compare([step], runs, {})
    assert finding.verdict == paired.DROP, finding.gain
    assert ablation.to_apply([step], [finding]) == NONE


def test_labels_that_clean_doubts_are_not_oversampled(tmp_path: Path) -> None:
    planted(tmp_path, flagged=True)
    folders = {name: tmp_path / "data" / name for name in ("split", "clean", "balance")}
    report = importlib.import_module("tasks.balance").run(params(OVERSAMPLE)["balance"], **folders)
    plan = read_table(folders["balance"] / "plan.parquet", PLAN).set_index("path")
    decisions = read_table(folders["clean"] / "decisions.parquet", DECISIONS).set_index("path")
    wrong = decisions.index[decisions["reasons"] == "label_issue"]
    right = decisions.index[(decisions["split"] == "train") & (decisions["label"] == RARE)].difference(wrong)
    assert report.doubted == len(wrong) == WRONG
    assert (plan.loc[wrong, "repeats"] == 1).all()
    assert len(right) == TRUE
    assert (plan.loc[right, "repeats"] > 1).all()
