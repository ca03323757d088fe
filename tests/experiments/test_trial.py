"""A trial in isolation: it reads no test image, leaves the workspace as it was, and is done once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hallmark.contracts.tables import DECISIONS, MANIFEST, SPLIT, read_table, write_table
from hallmark.experiments import trial
from hallmark.learning.epoch_hook import on_epoch_end
from tasks import STAGES
from tests.learning import workspace
from tests.tasks.test_train import FAST

TRAIN = next(stage for stage in STAGES if stage.name == "train")
CODE = (Path(__file__).parents[2] / "hallmark" / "experiments",)


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path_factory.getbasetemp()}/trial.db")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def job(root: Path, name: str = "a", **more: Any) -> trial.Job:
    return trial.Job(
        stage=TRAIN,
        package="tasks",
        params=FAST,
        data=root,
        folder=root / "trials" / name,
        cache=root / "cache",
        **more,
    )


def test_the_outcome_does_not_depend_on_the_test_images(tmp_path: Path) -> None:
    """The outcome is the same where the test images' bytes are gone and their labels are nonsense."""
    (tmp_path / "whole").mkdir()
    (tmp_path / "blind").mkdir()
    workspace.make(tmp_path / "whole")
    folders = workspace.make(tmp_path / "blind")
    split = read_table(folders["split"] / "split.parquet", SPLIT)
    test = set(split.loc[split["split"] == "test", "path"])
    assert test
    for folder, name, table in (
        ("ingest", "manifest", MANIFEST),
        ("split", "split", SPLIT),
        ("clean", "decisions", DECISIONS),
    ):
        path = folders[folder] / f"{name}.parquet"
        rows = read_table(path, table)
        rows.loc[rows["path"].isin(test), "label"] = "nonsense"
        if "shard" in rows:
            rows.loc[rows["path"].isin(test), ["shard", "row"]] = -1
        write_table(rows, table, path)
    outcomes = [trial.run(job(tmp_path / name, latency=False)) for name in ("whole", "blind")]
    first, second = (replace(outcome, seconds=0.0, mlflow_run=None) for outcome in outcomes)
    assert first == second
    assert first.n_judged > 20
    assert first.worst_recall is not None


def test_a_trial_is_done_once_and_leaves_its_result_alone(tmp_path: Path) -> None:
    workspace.make(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*")}
    first = trial.run(job(tmp_path, latency=True))
    assert first.latency_ms is not None
    assert first.latency_ms > 0
    assert sorted(path.name for path in (tmp_path / "trials" / "a").iterdir()) == [trial.RESULT]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*")} == before
    with on_epoch_end(_never):
        assert trial.run(job(tmp_path, latency=True)) == first


def test_a_kept_trial_has_its_model_and_predictions(tmp_path: Path) -> None:
    folders = workspace.make(tmp_path)
    split = read_table(folders["split"] / "split.parquet", SPLIT)
    judged_paths = tuple(split.loc[split["split"] == "test", "path"])
    outcome = trial.run(job(tmp_path, keep=True, judged=judged_paths))
    folder = tmp_path / "trials" / "a"
    assert (folder / "data" / "train" / "model.safetensors").exists()
    assert sorted(pd.read_parquet(folder / "predictions.parquet")["path"]) == sorted(judged_paths)
    assert outcome.n_judged == len(judged_paths)


def test_a_trial_that_validation_judges_does_not_learn_from_the_validation_images(tmp_path: Path) -> None:
    workspace.make(tmp_path)
    asked, never = job(tmp_path), job(tmp_path, "b")
    outcomes = [trial.run(replace(asked, params=replace(FAST, refit=True))), trial.run(never)]
    assert outcomes[0].objective == outcomes[1].objective
    assert outcomes[0].metrics == outcomes[1].metrics


def test_the_follower_hears_each_epoch_and_can_end_the_training(tmp_path: Path) -> None:
    workspace.make(tmp_path)
    heard: list[tuple[int, int]] = []
    trial.run(job(tmp_path, follow=lambda epoch, epochs, objective: heard.append((epoch, epochs))))
    assert heard == [(1, 2), (2, 2)]

    class Enough(BaseException):
        pass

    def end(epoch: int, epochs: int, objective: float) -> None:
        raise Enough

    with pytest.raises(Enough):
        trial.run(job(tmp_path, "b", follow=end))
    assert trial.read(tmp_path / "trials" / "b") is None
    assert Path.cwd() == tmp_path


def test_the_identity_follows_values_inputs_and_code(tmp_path: Path) -> None:
    folders = workspace.make(tmp_path)

    def identity(**more: Any) -> str:
        return trial.identity(TRAIN, replace(FAST, **more), tmp_path, CODE)

    first = identity()
    assert identity() == first
    assert identity(seed=1) != first
    assert trial.identity(TRAIN, FAST, tmp_path, (CODE[0].parent / "judgement",)) != first
    (folders["augment"] / "policy.json").write_text('{"transforms": [ ]}')
    assert identity() != first


def _never(epoch: int, epochs: int, objective: float) -> None:
    raise AssertionError("it was trained again")


def test_a_backbone_that_is_a_folder_of_the_workspace_is_found_from_the_trial(tmp_path: Path) -> None:
    (tmp_path / "known").mkdir()
    begun = replace(FAST, model=replace(FAST.model, name="pretrained", backbone="known"))
    assert trial.located(begun, tmp_path).model.backbone == str(tmp_path / "known")
    for untouched in (FAST, replace(FAST, model=replace(FAST.model, name="pretrained", backbone="facebook/dinov2"))):
        assert trial.located(untouched, tmp_path) is untouched
