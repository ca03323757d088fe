"""The final network of a small set: fitted to training and validation images, for the epochs that validation chose."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from hallmark.contracts.tables import DECISIONS, SPLIT, read_table, write_table
from hallmark.learning import refit, training_data
from hallmark.learning.fitted import Fitted
from hallmark.learning.recipe import DRAWN, FITTED, UNDER, WHOLE, refits, resolve
from tests.learning import workspace
from tests.learning.training import RECIPE

if TYPE_CHECKING:
    from pathlib import Path

    from hallmark.learning.training_data import TrainingData


def read(folders: dict[str, Path]) -> TrainingData:
    names = ("ingest", "split", "clean", "balance", "synthesize")
    return training_data.read(**{name: folders[name] for name in names}, synthetic_weight=0.5)


def paths_of(folders: dict[str, Path], split: str) -> list[str]:
    table = read_table(folders["split"] / "split.parquet", SPLIT)
    return sorted(table.loc[table["split"] == split, "path"])


def doubt(folders: dict[str, Path], path: str) -> None:
    where = folders["clean"] / "decisions.parquet"
    table = read_table(where, DECISIONS)
    table.loc[table["path"] == path, ["fate", "reasons"]] = ["flagged", "label_issue"]
    write_table(table, DECISIONS, where)


@pytest.mark.parametrize("strategy", ["none", "class_weights", "oversample", "weighted_sampler"])
def test_it_learns_from_training_and_validation_images_and_never_from_test_images(
    tmp_path: Path, strategy: str
) -> None:
    folders = workspace.make(tmp_path, classes=3, strategy=strategy, synthetic=4)
    data = read(folders)
    whole = refit.joined(data)
    paths = [item.path for item in whole.train_items]
    assert paths == whole.plan.table["path"].tolist()
    assert sorted(paths[: whole.n_real]) == sorted(paths_of(folders, "train") + paths_of(folders, "val"))
    assert not set(paths) & set(paths_of(folders, "test"))
    assert paths[whole.n_real :] == [item.path for item in data.train_items[data.n_real :]]
    labels = dict(zip(whole.plan.table["path"], whole.plan.table["label"], strict=True))
    assert all(labels[path] == path[0] for path in paths[: whole.n_real])
    assert (whole.val_items, whole.val_labels) == ([], [])
    assert sum(whole.plan.class_priors.values()) == pytest.approx(whole.plan.table["probability"].sum())
    assert whole.plan.table["probability"].sum() == pytest.approx(data.plan.table["probability"].sum())


def test_a_validation_image_counts_as_the_mean_of_its_class(tmp_path: Path) -> None:
    folders = workspace.make(tmp_path, classes=3, strategy="class_weights")
    data = read(folders)
    rows = refit.joined(data).plan.table.set_index("path")
    means = data.plan.table.assign(label=data.plan.table["label"].astype(str)).groupby("label")["weight"].mean()
    for path in paths_of(folders, "val"):
        assert rows.loc[path, "weight"] == pytest.approx(means[path[0]])
        assert rows.loc[path, "repeats"] == 1


def test_it_does_not_learn_from_a_validation_image_that_clean_doubts(tmp_path: Path) -> None:
    folders = workspace.make(tmp_path, classes=3)
    doubted = paths_of(folders, "val")[3]
    doubt(folders, doubted)
    data = read(folders)
    assert doubted in data.val_paths
    assert doubted not in {item.path for item in refit.joined(data).train_items}


def test_it_trains_for_the_epochs_that_were_best_with_the_values_that_were_used() -> None:
    resolved = replace(resolve(RECIPE, images=300, network="mlp"), lr=0.02, batch_size=24)
    found = Fitted(state={}, history=[], best_epoch=4, n_parameters=1, warnings=[], resolved=resolved)
    asked = replace(RECIPE, lr="find", batch_size="find", patience=5, keep="best", max_epochs=9)
    final = refit.recipe(asked, found)
    assert (final.max_epochs, final.lr, final.batch_size, final.patience, final.keep) == (4, 0.02, 24, 0, "last")


def test_auto_is_for_small_sets_under_a_fitted_head() -> None:
    assert refits(RECIPE, weights=FITTED, images=2000)
    assert not refits(RECIPE, weights=FITTED, images=2001)
    assert not any(refits(RECIPE, weights=weights, images=100) for weights in (DRAWN, UNDER, WHOLE))
    assert refits(replace(RECIPE, refit=True), weights=DRAWN, images=10**6)
    assert not refits(replace(RECIPE, refit=False), weights=FITTED, images=100)


def test_rows_of_synthetic_images_stay_as_they_were(tmp_path: Path) -> None:
    folders = workspace.make(tmp_path, classes=3, synthetic=4)
    data = read(folders)
    before, after = (each.plan.table.iloc[each.n_real :].reset_index(drop=True) for each in (data, refit.joined(data)))
    pd.testing.assert_frame_equal(before, after)
    assert np.isclose(before["weight"], 0.5).all()


def test_a_fine_tuned_network_learns_from_both_up_to_a_thousand_images_or_where_that_is_asked_for(
    tmp_path: Path,
) -> None:
    whole = refit.joined(read(workspace.make(tmp_path, classes=3)))
    large = replace(whole, n_real=1001)
    resolved = resolve(RECIPE, images=300, network="mlp")
    tuned = Fitted(state={}, history=[], best_epoch=2, n_parameters=1, warnings=[], resolved=resolved)
    assert refit.affordable(RECIPE, tuned, whole)
    assert not refit.affordable(RECIPE, tuned, large)
    assert refit.affordable(RECIPE, replace(tuned, best_epoch=0), large)
    assert refit.affordable(replace(RECIPE, refit=True), tuned, large)
