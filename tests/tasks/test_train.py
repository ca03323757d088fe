"""The stage train: from the folders of the stages before to a network that works."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from hallmark.contracts import telemetry
from hallmark.contracts.errors import GateRefused, InputError
from hallmark.contracts.tables import DECISIONS, PLAN, SPLIT, read_table, write_table
from hallmark.images.decoding import prepare
from hallmark.images.shards import Reader
from hallmark.judgement.objective import Objective
from hallmark.learning import refit, training_data
from hallmark.models import weights
from hallmark.models.params import Model
from hallmark.tracking.params import Tracking
from tasks import train
from tests.learning import workspace
from tests.learning.training import RECIPE

ROOT = Path(__file__).parents[2]
AUTO = Model(
    name="auto", backbone="none", image_size="auto", channels="auto", width="auto", depth="auto", activation="auto",
    norm="auto", dropout=0.0, stochastic_depth=0.0,
)  # fmt: skip
PARAMS = train.Params(
    **dataclasses.asdict(replace(RECIPE, max_epochs=6)),
    seed=0,
    model=AUTO,
    objective=Objective(metric="macro_f1"),
    tracking=Tracking(experiment="test", wandb="off"),
)
FAST = replace(PARAMS, max_epochs=2, model=replace(AUTO, name="mlp"))


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A workspace of the test's own; one MLflow store for all, since a new one migrates for seconds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path_factory.getbasetemp()}/train.db")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def run(root: Path, folders: dict[str, Path], params: train.Params = FAST) -> tuple[train.Report, dict[str, bytes]]:
    places = workspace.outputs(root)
    report = train.run(params, **folders, **places)
    return report, {path.name: path.read_bytes() for place in places.values() for path in sorted(place.iterdir())}


def test_a_network_that_works(tmp_path: Path) -> None:
    folders = workspace.make(tmp_path, count=700, transforms=[workspace.SHIFT], synthetic=5)
    with telemetry.collect() as notes:
        report, files = run(tmp_path, folders, replace(PARAMS, max_epochs=10))
    written = {"model.safetensors", "model.json", "recipe.json", "history.parquet", "history.csv", "validation.parquet"}
    assert set(files) == written
    assert (report.model, report.channels, report.image_size, report.privacy) == ("cnn", 1, 8, None)
    assert report.n_synthetic == 5
    assert report.classes == [str(digit) for digit in range(10)]
    assert report.objective["metric"] == "macro f1"
    json.dumps(dataclasses.asdict(report), allow_nan=False)
    assert {"device", "precision", "samples_per_second", "mlflow_run"} <= set(notes)

    network, shape = weights.load(tmp_path / "data/train"), weights.describe(tmp_path / "data/train")["input"]
    assert report.n_parameters == sum(parameter.numel() for parameter in network.parameters())
    manifest = pd.read_parquet(folders["ingest"] / "manifest.parquet").set_index("path")
    split = pd.read_parquet(folders["split"] / "split.parquet")
    test = split[split["split"] == "test"]
    with Reader(folders["ingest"]) as reader:
        encoded = [reader.read(*manifest.loc[path, ["shard", "row"]]) for path in test["path"]]
    images = np.stack([prepare(data, shape["height"], shape["width"], shape["channels"]) for data in encoded])
    with torch.no_grad():
        found = network(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255).argmax(dim=1).tolist()
    right = [report.classes[index] == label for index, label in zip(found, test["label"], strict=True)]
    assert np.mean(right) > 0.9

    history = pd.read_csv(tmp_path / "reports/plots/train/history.csv")
    assert list(history.columns) == ["epoch", "train_loss", "val_loss", "objective", "lr"]
    assert len(history) == report.epochs
    assert history["objective"][report.best_epoch - 1] == pytest.approx(report.objective["value"])


def test_the_same_bytes_again_and_with_other_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hallmark.learning.batches.WORTH_WORKERS", 0.0)
    folders = workspace.make(tmp_path / "in", count=200, transforms=[workspace.SHIFT], colour=True)
    made = []
    for number in ("1", "2"):
        root = tmp_path / number
        root.mkdir()
        monkeypatch.chdir(root)
        monkeypatch.setenv("HALLMARK_WORKERS", number)
        made.append(run(root, folders))
    assert made[0] == made[1]
    assert made[0][0].channels == 3


def test_without_validation_images(tmp_path: Path) -> None:
    report, _ = run(tmp_path, workspace.make(tmp_path, count=100, validation=False))
    assert report.best_epoch == report.epochs == 2
    assert report.objective["value"] is None
    assert "no validation images" in report.warnings[0]


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (Objective(metric="recall", class_name="cat"), "names the class 'cat', which the data does not have"),
        (Objective(metric="cost", costs={"0": {"O": 2.0}}), "names the class 'O'"),
    ],
)
def test_an_objective_that_the_data_does_not_define_is_reported_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, objective: Objective, message: str
) -> None:
    monkeypatch.setattr("hallmark.learning.train_step.TrainStep.run", lambda *_, **__: pytest.fail("a step was run"))
    with pytest.raises(InputError, match=message):
        run(tmp_path, workspace.make(tmp_path, count=100), replace(FAST, objective=objective))


def test_one_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GateRefused, match="only 1 class is left to train on"):
        run(tmp_path, workspace.make(tmp_path, count=50, classes=1))


def test_validation_classes_without_training_images_are_left_out_and_reported(tmp_path: Path) -> None:
    folders = workspace.make(tmp_path, count=100, classes=3)
    table = read_table(folders["balance"] / "plan.parquet", PLAN)
    write_table(table[table["label"] != "2"], PLAN, folders["balance"] / "plan.parquet")
    report, _ = run(tmp_path, folders)
    assert report.classes == ["0", "1"]
    assert "are of classes without training images (2)" in report.warnings[0]


def test_other_params_are_another_training(tmp_path: Path) -> None:
    folders = workspace.make(tmp_path, count=100)
    first, _ = run(tmp_path / "a", folders)
    second, _ = run(tmp_path / "b", folders, replace(FAST, lr=1e-4))
    assert first.lr != second.lr
    assert first.train_loss != second.train_loss
    kept = sorted((tmp_path / ".hallmark/checkpoints").iterdir())
    assert len(kept) == 1


def read(folders: dict[str, Path], weight: float = 0.5) -> training_data.TrainingData:
    names = ("ingest", "split", "clean", "balance", "synthesize")
    return training_data.read(**{name: folders[name] for name in names}, synthetic_weight=weight)


def test_synthetic_images_join_with_their_weight(tmp_path: Path) -> None:
    data = read(workspace.make(tmp_path, count=200, synthetic=4))
    table = data.plan.table
    assert data.n_synthetic == 4
    assert len(data.train_items) == len(table) == data.n_real + 4 == data.images_per_epoch
    assert table["path"].tolist() == [item.path for item in data.train_items]
    assert table["weight"][data.n_real :].tolist() == [0.5] * 4
    assert sum(data.plan.class_priors.values()) == pytest.approx(1)
    assert not {item.path for item in data.val_items} & set(table["path"])


def test_a_weighted_sampler_keeps_the_classes_shares(tmp_path: Path) -> None:
    data = read(workspace.make(tmp_path, count=200, synthetic=4, strategy="weighted_sampler"))
    table = data.plan.table
    assert table["probability"].sum() == pytest.approx(1)
    shares = table.groupby("label")["probability"].sum()
    assert shares.to_numpy() == pytest.approx(np.full(10, 0.1))
    zeros = table[table["label"] == "0"]["probability"]
    assert zeros.to_numpy() == pytest.approx(np.full(len(zeros), 0.1 / len(zeros)))


@pytest.mark.parametrize("strategy", ["class_weights", "weighted_sampler"])
@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_synthetic_images_leave_classes_that_balance_evened_out_as_even(
    tmp_path: Path, strategy: str, weight: float
) -> None:
    def shares(synthetic: int) -> Any:
        root = tmp_path / str(synthetic)
        table = read(workspace.make(root, count=200, synthetic=synthetic, strategy=strategy), weight).plan.table
        parts = (table["probability"] * table["weight"]).groupby(table["label"]).sum()
        return (parts / parts.sum()).to_numpy()

    assert shares(15) == pytest.approx(shares(0))


def test_a_class_whose_images_have_no_weight_stays_so(tmp_path: Path) -> None:
    folders = workspace.make(tmp_path, count=200, synthetic=4, strategy="class_weights")
    table = read_table(folders["balance"] / "plan.parquet", PLAN)
    table.loc[table["label"] == "1", "weight"] = 0.0
    write_table(table, PLAN, folders["balance"] / "plan.parquet")
    made = read(folders).plan.table
    assert (made["weight"][made["label"] == "1"] == 0).all()
    assert (made["weight"][made["label"] != "1"] > 0).all()


def test_synthetic_images_of_no_weight_are_not_shown(tmp_path: Path) -> None:
    data = read(workspace.make(tmp_path, count=200, synthetic=4), weight=0.0)
    assert (data.n_synthetic, len(data.plan.table)) == (0, data.n_real)


def test_a_copy_stands_in_for_a_dropped_representative(tmp_path: Path) -> None:
    folders = workspace.make(tmp_path, count=200)
    table = read_table(folders["split"] / "split.parquet", SPLIT)
    first, second = table.loc[table["split"] == "val", "path"].iloc[:2]
    table.loc[table["path"] == second, ["cluster", "representative"]] = [first, False]
    write_table(table, SPLIT, folders["split"] / "split.parquet")
    before = [item.path for item in read(folders).val_items]
    assert first in before
    assert second not in before
    decisions = read_table(folders["clean"] / "decisions.parquet", DECISIONS)
    decisions.loc[decisions["path"] == first, "fate"] = "removed"
    write_table(decisions, DECISIONS, folders["clean"] / "decisions.parquet")
    assert sorted({*before, second} - {first}) == [item.path for item in read(folders).val_items]


def test_a_class_may_be_named_as_mlflow_names_nothing(tmp_path: Path) -> None:
    folders = workspace.make(tmp_path, count=100, classes=2)
    for path, kind in (
        (folders["clean"] / "decisions.parquet", DECISIONS),
        (folders["balance"] / "plan.parquet", PLAN),
    ):
        table = read_table(path, kind)
        table["label"] = table["label"].replace("1", "a & b (c)")
        write_table(table, kind, path)
    plan = (folders["balance"] / "plan.json").read_text().replace('"1"', '"a & b (c)"')
    (folders["balance"] / "plan.json").write_text(plan)
    costs = Objective(metric="cost", costs={"a & b (c)": {"0": 2.0}})
    report, _ = run(tmp_path, folders, replace(FAST, objective=costs))
    assert report.classes == ["0", "a & b (c)"]


def test_batch_norm_that_comes_with_a_backbone_needs_batches_too(tmp_path: Path) -> None:
    folders = workspace.make(tmp_path, count=100)
    params = replace(FAST, model=replace(AUTO, name="mlp", norm="batch"))
    run(tmp_path, folders, params)
    begun = replace(AUTO, name="pretrained", backbone=str(tmp_path / "data" / "train"))
    with pytest.raises(InputError, match=r"^batch_size is 2, but the network has batch norm"):
        run(tmp_path / "second", folders, replace(params, model=begun, batch_size=2))


def test_a_rate_that_few_images_do_not_tell_is_autos(tmp_path: Path) -> None:
    folders = workspace.make(tmp_path, count=40, classes=2)
    report, _ = run(tmp_path, folders, replace(FAST, lr="find"))
    assert report.lr == 0.002
    assert "train.lr is find, but up to 1 no rate was too high" in report.warnings[0]


def test_plateau_without_validation_images_is_reported(tmp_path: Path) -> None:
    report, _ = run(tmp_path, workspace.make(tmp_path, count=100, validation=False), replace(FAST, schedule="plateau"))
    assert any("nothing tells when to lower the learning rate" in warning for warning in report.warnings)


CHILD = """
import sys, json
from pathlib import Path
from tests.tasks.test_train import PARAMS, run
from dataclasses import replace
folders = {name: Path(path) for name, path in json.loads(sys.argv[1]).items()}
print("ready", flush=True)
run(Path("."), folders, replace(PARAMS, max_epochs=30, lr=0.001))
"""


@pytest.mark.pipeline
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_is_taken_up_with_the_same_bytes(tmp_path: Path, sent: signal.Signals) -> None:
    folders = workspace.make(tmp_path, count=600, transforms=[workspace.SHIFT])
    params = replace(PARAMS, max_epochs=30, lr=0.001)
    command = [sys.executable, "-c", CHILD, json.dumps({name: str(path) for name, path in folders.items()})]
    child = subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".hallmark/checkpoints/*/training.pt")):
        assert time.monotonic() < deadline, "no checkpoint appeared"
        assert child.poll() is None, "the training ended before it could be killed"
        time.sleep(0.02)
    child.send_signal(sent)
    code = child.wait(timeout=300)
    assert code == (143 if sent == signal.SIGTERM else -signal.SIGKILL)
    assert not list(tmp_path.glob(".hallmark/checkpoints/*/finished"))
    with telemetry.collect() as notes:
        resumed = run(tmp_path / "second", folders, params)
    steps: Any = notes["resumed_from"]
    assert steps > 0
    whole = tmp_path / "whole"
    whole.mkdir()
    os.chdir(whole)
    assert resumed == run(whole, folders, params)


def test_a_refit_leaves_what_validation_found_as_it_was(tmp_path: Path) -> None:
    folders = workspace.make(tmp_path, count=300)
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    alone, first = run(tmp_path / "one", folders, replace(FAST, refit=False))
    both, second = run(tmp_path / "two", folders, replace(FAST, refit=True))
    split = read_table(folders["split"] / "split.parquet", SPLIT)
    assert alone.refit is None
    assert both.refit == {"images": int(split["split"].isin(["train", "val"]).sum()), "epochs": both.best_epoch}
    assert replace(both, refit=None) == alone
    # the network is another; its validation predictions are of the one that did not see these images
    changed = {name for name, data in first.items() if second[name] != data}
    assert changed == {"model.safetensors", "recipe.json"}
    assert sorted(pd.read_parquet(tmp_path / "two/data/train/validation.parquet")["path"]) == sorted(
        split.loc[split["split"] == "val", "path"]
    )


def test_a_refit_that_was_killed_goes_on_and_trains_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = workspace.make(tmp_path, count=300)
    places = workspace.outputs(tmp_path)
    fit, fitted = refit.fit, list[int]()

    def counted(*arguments: Any) -> Any:
        fitted.append(1)
        return fit(*arguments)

    monkeypatch.setattr(refit, "fit", lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        train.run(replace(FAST, refit=True), **folders, **places)
    monkeypatch.setattr(refit, "fit", counted)
    with telemetry.collect() as notes:
        train.run(replace(FAST, refit=True), **folders, **places)
    assert fitted == [1]
    assert "resumed_from" in notes
