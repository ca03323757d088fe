"""Each image is predicted by a network that never saw it, nor its duplicates or group."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hallmark.contracts.tables import DECISIONS, SPLIT, read_table, write_table
from hallmark.judgement.objective import Objective
from hallmark.learning import crossfit, model_setup, pool, training
from hallmark.models.params import Model
from hallmark.sampling import plan as planning
from hallmark.tracking import backbones
from tests.learning import workspace
from tests.learning.training import RECIPE
from tests.models.test_transfer import checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

MLP = Model(
    name="mlp", backbone="none", image_size="auto", channels="auto", width=32, depth=1, activation="auto",
    norm="auto", dropout=0.0, stochastic_depth=0.0,
)  # fmt: skip
PROCEDURE = crossfit.Procedure(
    recipe=replace(RECIPE, max_epochs=6), model=MLP, transforms=[], objective=Objective(metric="macro_f1"), seed=0
)


def change(folder: Path, name: str, table: dict[str, str], rows: list[int], **values: Any) -> None:
    """Sets columns of some rows of a table in ``folder``."""
    path = folder / f"{name}.parquet"
    frame = read_table(path, table)
    for column, value in values.items():
        frame.loc[rows, column] = value
    write_table(frame, table, path)


def read(folders: dict[str, Path]) -> pd.DataFrame:
    plan = planning.read(folders["balance"])
    return pool.read(plan, **{name: folders[name] for name in ("ingest", "split", "clean")}).set_index("path")


def fit(folders: dict[str, Path], state: Path, **changes: Any) -> crossfit.CrossFit:
    return crossfit.fit(
        read(folders).reset_index(),
        planning.read(folders["balance"]),
        replace(PROCEDURE, **changes),
        ingest=folders["ingest"],
        state=state,
        folds=3,
        val=0.25,
        find=lambda name: pytest.fail(f"looked for {name}"),
    )


def test_each_image_is_predicted_once_and_well(tmp_path: Path) -> None:
    folders = workspace.make(tmp_path, count=400, classes=4)
    made = fit(folders, tmp_path / "state")
    assert made.table["path"].tolist() == read(folders).index.tolist()
    assert sorted(set(made.table["fold"])) == [1, 2, 3]
    assert (made.table["label"] == made.table["predicted"]).mean() > 0.75
    np.testing.assert_allclose(made.probabilities.sum(axis=1), 1)
    assert made.classes == ["0", "1", "2", "3"]
    # two of three folds, a quarter of them validation images
    assert made.n_train == pytest.approx([200] * 3, abs=6)
    assert all(1 <= epoch <= 6 for epoch in made.epochs)


def test_a_kill_between_folds_changes_nothing_and_a_finished_fold_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = workspace.make(tmp_path, count=150, classes=3)
    first = fit(folders, tmp_path / "state")
    monkeypatch.setattr("hallmark.learning.train_step.TrainStep.run", lambda *_, **__: pytest.fail("a step was run"))
    again = fit(folders, tmp_path / "state")
    np.testing.assert_array_equal(first.probabilities, again.probabilities)
    with pytest.raises(pytest.fail.Exception, match="a step was run"):
        fit(folders, tmp_path / "state", seed=1)


def test_no_network_sees_a_held_out_image_or_its_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = workspace.make(tmp_path, count=150, classes=3)
    # every label of an image in rows 0, 3, 6, ... is that of its group: groups of three images
    groups = [f"g{n // 3}" for n in range(150)]
    change(folders["split"], "split", SPLIT, list(range(150)), group=groups)
    seen: list[set[str]] = []
    original = model_setup.prepare

    def watch(model: Any, data: Any, **more: Any) -> Any:
        seen.append({item.path for item in [*data.train_items, *data.val_items]})
        return original(model, data, **more)

    monkeypatch.setattr(model_setup, "prepare", watch)
    made = fit(folders, tmp_path / "state")
    group_of = dict(zip(read(folders).index, groups, strict=True))
    for fold, trained in enumerate(seen, start=1):
        held = set(made.table.loc[made.table["fold"] == fold, "path"])
        assert held
        assert not {group_of[path] for path in held} & {group_of[path] for path in trained}
        assert len(trained) + len(held) == 150


def test_cleaning_does_not_make_the_estimate_look_better(tmp_path: Path) -> None:
    folders = workspace.make(tmp_path, count=120, classes=3)
    split = read_table(folders["clean"] / "decisions.parquet", DECISIONS)["split"]
    train, test = np.flatnonzero(split == "train").tolist(), np.flatnonzero(split == "test").tolist()

    def decide(rows: list[int], **values: Any) -> None:
        change(folders["clean"], "decisions", DECISIONS, rows, **values)

    decide(train[:1], fate="removed", reasons="label_issue")
    decide(train[1:2], fate="removed", reasons="excluded_by_review")
    decide(train[2:3], fate="relabelled", reasons="label_issue", label="2", found_label="1")
    decide(train[3:4], fate="relabelled", reasons="relabelled_by_review", label="2", found_label="1")
    decide(test[:1], fate="flagged", reasons="blurry;outlier")
    decide(test[1:2], fate="flagged", reasons="blurry")
    balanced = planning.read(folders["balance"])
    paths = read_table(folders["split"] / "split.parquet", SPLIT)["path"]
    gone = set(paths[train[:2]])
    replace(balanced, table=balanced.table[~balanced.table["path"].isin(gone)]).write(folders["balance"])
    made = read(folders)
    assert paths[train[1]] not in made.index
    assert made.loc[paths[train[:1]], "trained"].tolist() == [False]
    assert made.loc[paths[[train[2], train[3]]], ["label", "truth"]].to_numpy().tolist() == [["2", "1"], ["2", "2"]]
    assert made.loc[paths[test[:3]], "trained"].tolist() == [False, True, True]
    assert len(made) == 119
    assert pool.validation_share(made) == pytest.approx((split == "val").sum() / ((split != "test").sum() - 1))
    assert sum(pool.units(made).values()) == 119


def test_images_outside_the_plan_take_the_means_of_their_class(tmp_path: Path) -> None:
    folders = workspace.make(tmp_path, count=120, classes=3, strategy="oversample")
    plan = planning.read(folders["balance"])
    table = plan.table.assign(weight=np.where(plan.table["label"] == "1", 3.0, 1.0))
    rows = planning.rows(table, read(folders).reset_index()[["path", "label"]]).set_index("path")
    assert len(rows) == 120
    assert rows["probability"].sum() == pytest.approx(1)
    outside = rows[~rows.index.isin(table["path"])]
    assert set(outside.loc[outside["label"] == "1", "weight"]) == {3.0}
    assert set(outside.loc[outside["label"] != "1", "weight"]) == {1.0}
    assert (outside["repeats"] >= 1).all()


def test_where_the_train_stage_kept_the_fitted_head_the_folds_fit_heads_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = workspace.make(tmp_path, count=240, classes=3)
    where = checkpoint(tmp_path / "net", "resnet")
    model = replace(PROCEDURE.model, name="pretrained", backbone=str(where), image_size=8, width="auto", depth="auto")
    monkeypatch.setattr(training, "train", lambda *arguments, **more: pytest.fail("it trained"))
    with backbones.finder(param="model.backbone") as find:
        made = crossfit.fit(
            read(folders).reset_index(),
            planning.read(folders["balance"]),
            replace(PROCEDURE, model=model, head_alone=True),
            ingest=folders["ingest"],
            state=tmp_path / "state",
            folds=3,
            val=0.25,
            find=find,
        )
    assert made.epochs == [0, 0, 0]
    assert made.n_train == pytest.approx([160] * 3, abs=6)  # the validation images of a fold learn too
    assert (made.table["label"] == made.table["predicted"]).mean() > 0.6
