from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hallmark.contracts import tables
from hallmark.contracts.errors import GateRefused, InputError
from hallmark.images import shards
from hallmark.judgement import prediction
from hallmark.judgement.objective import Objective
from hallmark.learning import record
from hallmark.learning.fitted import Fitted
from hallmark.learning.recipe import resolve
from hallmark.models import weights
from hallmark.models.params import Model
from hallmark.sampling import plan as planning
from tasks import evaluate
from tests.learning.training import RECIPE

if TYPE_CHECKING:
    from pathlib import Path

    import torch

SHAPE: dict[str, Any] = {"height": 8, "width": 8, "channels": 1, "scaling": "unit", "mean": [0.0], "std": [1.0]}


def params(**changes: Any) -> evaluate.Params:
    values: dict[str, Any] = {
        "seed": 0,
        "objective": Objective(metric="macro_f1"),
        "scheme": "holdout",
        "folds": 3,
        "bootstrap_replicates": 200,
        "batch_size": 16,
        "max_slices": 10,
        "robustness": evaluate.Robustness(noise=(0.05,), blur=(), brightness=(-0.6, 0.0)),
    }
    return evaluate.Params(**(values | changes))


def png(level: int, seed: int) -> bytes:
    import io

    pixels = np.random.default_rng(seed).integers(max(level - 20, 0), min(level + 20, 255), (8, 8), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def world(root: Path, classes: list[str], *, wrong: int = 0) -> dict[str, Path]:
    """Images of two brightnesses, a network that tells them apart, and the recipe of one that folds can train.

    ``wrong`` labels of the test set are false.
    """
    names = "ingest validate split clean balance augment train evaluate plots".split()
    folders = {name: root / name for name in names}
    for folder in folders.values():
        folder.mkdir()
    folders["metrics"] = root / "metrics.json"
    pd.DataFrame({"epoch": [1, 2, 3]}).to_parquet(folders["train"] / "history.parquet")
    n = 80
    frame = pd.DataFrame({"path": [f"{place:03d}.png" for place in range(n)]})
    bright = np.arange(n) % 2
    frame["label"] = np.array(classes)[bright]
    frame["split"] = np.where(np.arange(n) < 40, "test", np.where(np.arange(n) < 60, "val", "train"))
    frame.loc[: wrong - 1, "label"] = np.array(classes)[1 - bright[:wrong]]
    data = [png(60 if not light else 190, place) for place, light in enumerate(bright)]
    places = shards.write(folders["ingest"], zip(frame["path"], data, strict=True))
    frame["shard"] = [place.shard for place in places]
    frame["row"] = [place.row for place in places]
    frame = frame.assign(
        label_found=frame["label"],
        group="",
        given_split="",
        size=100,
        sha256=[hashlib.sha256(each).hexdigest() for each in data],
        reasons="",
        format="PNG",
        mode="L",
        width=8,
        height=8,
        frames=1,
    )
    frame = frame.assign(pixel_hash="", phash=0, sketch=b"", contrast=0.1, sharpness=0.1, noise=0.1, quarantined=False)
    frame = frame.assign(brightness=np.where(bright, 0.75, 0.25), cluster=frame["path"], cluster_size=1)
    frame = frame.assign(representative=True, found_label=frame["label"], fate="kept", stage="", weight=1.0)
    frame = frame.assign(outlier_score=np.nan, label_quality=np.nan, suggested_label="", meta_site=["n", "s"] * 40)
    frame.loc[frame.index[2:6], "fate"] = "flagged"
    frame.loc[39, "fate"] = "removed"  # by a human
    tables.write_table(frame[[*tables.MANIFEST, "meta_site"]], tables.MANIFEST, folders["ingest"] / "manifest.parquet")
    for stage, name, table in (
        ("validate", "measurements", tables.MEASUREMENTS),
        ("split", "split", tables.SPLIT),
        ("clean", "decisions", tables.DECISIONS),
    ):
        tables.write_table(frame[[*table]], table, folders[stage] / f"{name}.parquet")
    made = frame[(frame["split"] == "train") & (frame["fate"] != "removed")][["path", "label", "weight"]]
    planning.make(
        made, strategy="none", scheme="effective_number", beta=0.999, max_repeats=10, min_images=5,
        repeat_threshold=None, sampler_power=1.0, adjustment_tau=1.0, focal_gamma=2.0, auto_mild=2.0, auto_severe=20.0,
        seed=0,
    ).write(folders["balance"])  # fmt: skip
    (folders["augment"] / "policy.json").write_text('{"transforms": []}')
    description = {"name": "perceptron", "classes": classes, "arguments": {}, "input": SHAPE}
    weights.save_model(folders["train"], description, brightness_weights(description))
    model = Model(
        name="mlp", backbone="none", image_size="auto", channels="auto", width=16, depth=1, activation="auto",
        norm="auto", dropout=0.0, stochastic_depth=0.0,
    )  # fmt: skip
    recipe = replace(RECIPE, max_epochs=8)
    fitted = Fitted(
        state={}, history=[], best_epoch=3, n_parameters=1, warnings=[],
        resolved=resolve(recipe, images=20, network="mlp"),
    )  # fmt: skip
    record.write_recipe(folders["train"], fitted, recipe=recipe, model=model, seed=3)
    checked = frame[frame["split"] == "val"]
    with shards.Reader(folders["ingest"]) as reader:
        (logits,) = prediction.of_stored(weights.load(folders["train"]), reader, checked, SHAPE, size=16)
    record.write_validation(folders["train"], checked["path"].tolist(), logits)
    return folders


def brightness_weights(description: dict[str, Any]) -> dict[str, torch.Tensor]:
    import torch

    network = weights.network(description)
    state = network.state_dict()
    for name, tensor in state.items():
        if tensor.ndim == 2:
            state[name] = torch.stack([torch.full((64,), -0.1), torch.full((64,), 0.1)])
        elif tensor.shape == (2,):
            state[name] = torch.tensor([3.2, -3.2])
    return state


def run(folders: dict[str, Path], **changes: Any) -> evaluate.Report:
    return evaluate.run(params(**changes), **folders)


def test_published_numbers_follow_from_the_predictions(tmp_path: Path) -> None:
    folders = world(tmp_path, ["dark", "light"], wrong=4)
    report = run(folders)
    table = pd.read_parquet(folders["evaluate"] / "predictions.parquet")
    assert list(table.columns) == ["path", "label", "predicted", "dark", "light"]
    assert table["path"].is_monotonic_increasing
    assert report.n_test == len(table) == 39  # the one a human removed is not judged
    assert report.accuracy["value"] == pytest.approx((table["label"] == table["predicted"]).mean())
    assert report.accuracy["value"] == pytest.approx(35 / 39)
    given = np.where(table["label"] == "dark", table["dark"], table["light"])
    assert report.log_loss["value"] == pytest.approx(-np.log(given).mean())
    assert (table[["dark", "light"]].sum(axis=1) - 1).abs().max() < 1e-12
    assert report.per_class["dark"]["support"] + report.per_class["light"]["support"] == 39
    assert report.without_flagged["n"] == 35
    assert report.without_flagged["accuracy"]["value"] == pytest.approx(33 / 35)
    assert report.slices["flagged"]["flagged"]["n"] == 4
    assert report.slices["flagged"]["flagged"]["accuracy"]["value"] == pytest.approx(0.5)
    assert report.slices["site"]["n"]["n"] == 20
    assert report.objective["value"] == report.macro_f1["value"]
    assert set(report.robustness) == {"noise 0.05", "brightness -0.6", "brightness +0"}
    assert report.robustness["brightness +0"]["change"]["value"] == 0.0
    assert report.robustness["brightness -0.6"]["accuracy"]["value"] < 0.6
    assert sum(row["n"] for row in report.confusions) == 4
    confusion = pd.read_csv(folders["plots"] / "confusion.csv")
    assert list(confusion.columns) == ["actual", "predicted"]
    assert len(confusion) == 39
    reliability = pd.read_csv(folders["plots"] / "calibration.csv")
    assert {"confidence", "accuracy"} <= set(reliability.columns)
    assert reliability["n"].sum() == 39
    json.dumps(asdict(report), allow_nan=False)


def test_the_metrics_file_repeats_a_few_figures_of_the_report(tmp_path: Path) -> None:
    folders = world(tmp_path, ["dark", "light"], wrong=4)
    report = run(folders)
    few = json.loads(folders["metrics"].read_text())
    for name in ("objective", "accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece"):
        assert few[name] == getattr(report, name)["value"]
    assert few["worst_recall"] == min(row["recall"]["value"] for row in report.per_class.values())
    assert few["auroc"] == report.auroc
    assert (few["n_test"], few["n_classes"], few["epochs"]) == (39, 2, 3)
    assert len(few) <= 15
    assert all(value is None or isinstance(value, int | float) for value in few.values())


def test_a_class_without_test_images_is_not_the_worst(tmp_path: Path) -> None:
    folders = world(tmp_path, ["dark", "light"], wrong=4)
    decisions = pd.read_parquet(folders["clean"] / "decisions.parquet")
    decisions = decisions[(decisions["split"] != "test") | (decisions["label"] == "dark")]
    tables.write_table(decisions, tables.DECISIONS, folders["clean"] / "decisions.parquet")
    report = run(folders)
    few = json.loads(folders["metrics"].read_text())
    assert few["worst_recall"] == report.per_class["dark"]["recall"]["value"]
    assert few["auroc"] is None


def test_batch_size_and_workers_change_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    first, second = world(tmp_path / "one", ["a", "b"], wrong=3), world(tmp_path / "two", ["a", "b"], wrong=3)
    monkeypatch.setenv("HALLMARK_WORKERS", "1")
    one = run(first, batch_size=64)
    monkeypatch.setenv("HALLMARK_WORKERS", "3")
    two = run(second, batch_size=64)
    assert one == two
    for folder in ("evaluate", "plots"):
        names = sorted(path.name for path in first[folder].iterdir())
        assert names == sorted(path.name for path in second[folder].iterdir())
        for name in names:
            assert (first[folder] / name).read_bytes() == (second[folder] / name).read_bytes()
    noise = "noise 0.05"
    assert run(first, batch_size=7).robustness[noise] == one.robustness[noise]


def test_temperature_is_fitted_on_validation(tmp_path: Path) -> None:
    folders = world(tmp_path, ["dark", "light"])
    assert run(folders).calibration["temperature"] is None  # no mistake to fit to
    decisions = pd.read_parquet(folders["clean"] / "decisions.parquet")
    decisions.loc[40:42, "label"] = ["light", "dark", "light"]
    tables.write_table(decisions, tables.DECISIONS, folders["clean"] / "decisions.parquet")
    assert run(folders).calibration["temperature"] > 1.0  # validation says the model is too sure


def test_classes_named_as_columns_and_an_unknown_class(tmp_path: Path) -> None:
    folders = world(tmp_path, ["label", "path"])
    decisions = pd.read_parquet(folders["clean"] / "decisions.parquet")
    decisions.loc[0, "label"] = "novel"
    tables.write_table(decisions, tables.DECISIONS, folders["clean"] / "decisions.parquet")
    report = run(folders)
    table = pd.read_parquet(folders["evaluate"] / "predictions.parquet")
    assert report.probability_columns == {
        "label": "probability_label",
        "path": "probability_path",
        "novel": "novel",
    }
    assert table["novel"].eq(0.0).all()
    assert report.per_class["novel"]["recall"]["value"] == 0.0
    assert any("'novel'" in line for line in report.warnings)


def test_no_test_image_is_refused(tmp_path: Path) -> None:
    folders = world(tmp_path, ["a", "b"])
    decisions = pd.read_parquet(folders["clean"] / "decisions.parquet")
    tables.write_table(
        decisions[decisions["split"] != "test"], tables.DECISIONS, folders["clean"] / "decisions.parquet"
    )
    with pytest.raises(GateRefused, match="the test set has no image"):
        run(folders)


def test_params_are_checked() -> None:
    with pytest.raises(InputError, match=r"^bootstrap_replicates is 3"):
        params(bootstrap_replicates=3)
    with pytest.raises(InputError, match=r"^noise\[1\] is 2"):
        evaluate.Robustness(noise=(0.1, 2.0), blur=(), brightness=())


def group(folders: dict[str, Path], names: list[str] | None) -> None:
    """Gives each image a group, or none."""
    table = tables.read_table(folders["split"] / "split.parquet", tables.SPLIT).assign(group=names)
    tables.write_table(table, tables.SPLIT, folders["split"] / "split.parquet")


def ungrouped(root: Path) -> dict[str, Path]:
    """The world without groups, with four wrong labels."""
    folders = world(root, ["dark", "light"], wrong=4)
    group(folders, None)
    return folders


def test_the_cross_validated_headline_follows_from_out_of_fold_predictions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = ungrouped(tmp_path)
    report = run(folders, scheme="auto", folds=3)
    assert report.scheme == {"used": "crossval", "why": "80 images, fewer than 2000, and the training is cheap"}
    table = pd.read_parquet(folders["evaluate"] / "out_of_fold.parquet")
    assert list(table.columns) == ["path", "repeat", "fold", "label", "predicted", "dark", "light"]
    folds = report.crossvalidated
    assert folds is not None
    # every image of train, val and test; the wrong labels count as mistakes
    assert folds["n"] == len(table) == 80
    right = (table["label"] == table["predicted"]).mean()
    assert folds["accuracy"]["value"] == pytest.approx(right)
    assert 0.8 < right < 0.96
    assert folds["accuracy"]["ci95"][0] < right < folds["accuracy"]["ci95"][1]
    assert folds["objective"]["value"] == folds["macro_f1"]["value"]
    assert (folds["folds"], len(folds["epochs"])) == (3, 3)
    assert {name: row["support"] for name, row in folds["per_class"].items()} == {"dark": 40, "light": 40}
    json.dumps(asdict(report), allow_nan=False)


def test_the_scheme_changes_nothing_on_the_test_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for scheme in ("holdout", "crossval"):
        root = tmp_path / scheme
        root.mkdir()
        monkeypatch.chdir(root)
        folders = ungrouped(root)
        report = asdict(run(folders, scheme=scheme))
        assert report.pop("scheme") == {"used": scheme, "why": "as set"}
        assert (report.pop("crossvalidated") is None) == (scheme == "holdout")
        assert (folders["evaluate"] / "out_of_fold.parquet").exists() == (scheme == "crossval")
        files = [(folders["evaluate"] / f"{name}.parquet").read_bytes() for name in ("predictions", "clusters")]
        made.append((report, files, folders["metrics"].read_bytes()))
    assert made[0] == made[1]


def test_more_folds_than_units_are_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folders = ungrouped(tmp_path)
    group(folders, [f"patient {number % 2}" for number in range(80)])
    with pytest.raises(InputError, match=r"folds is 3, but the images form only 2 units"):
        run(folders, scheme="crossval")
    report = run(folders, scheme="auto")
    assert report.scheme["used"] == "holdout"
    assert "units" in report.scheme["why"]
