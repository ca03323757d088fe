"""Folds: whole units, no test image, every image judged once a repeat, classes shared out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from hallmark.contracts.errors import InputError
from hallmark.contracts.tables import SPLIT, conform
from hallmark.experiments.folds import divide


def table(count: int = 300, *, classes: int = 3, groups: int = 0) -> pd.DataFrame:
    """Images of ``classes`` classes, every tenth a copy of the one before, the last tenth test images."""
    generator = np.random.default_rng(0)
    paths = [f"{number:04d}.png" for number in range(count)]
    cluster = [paths[number - 1] if number % 10 == 1 else paths[number] for number in range(count)]
    split = np.where(np.arange(count) >= 0.9 * count, "test", generator.choice(["train", "val"], count, p=[0.8, 0.2]))
    return conform(
        pd.DataFrame(
            {
                "path": paths,
                "label": [str(number // 10 % classes) for number in range(count)],
                "group": [f"g{number % groups}" if groups else None for number in range(count)],
                "split": split,
                "cluster": cluster,
                "cluster_size": 1,
                "representative": True,
                "reasons": "",
            }
        ),
        SPLIT,
    )


@pytest.mark.parametrize("stratified", [True, False])
def test_every_image_is_held_out_once_a_repeat_and_no_test_image_ever(stratified: bool) -> None:
    frame = table()
    all_folds, notes = divide(frame, folds=5, repeats=2, stratified=stratified, val=0.2, seed=0)
    assert notes == []
    assert [fold.name for fold in all_folds] == [f"{repeat}-{number}" for repeat in (1, 2) for number in range(1, 6)]
    pool = set(frame.loc[frame["split"] != "test", "path"])
    for repeat in (1, 2):
        held = [path for fold in all_folds if fold.repeat == repeat for path in fold.held_out]
        assert sorted(held) == sorted(pool)
    test = set(frame.loc[frame["split"] == "test", "path"])
    for fold in all_folds:
        splits = fold.table.set_index("path")["split"]
        assert (splits[list(test)] == "test").all()
        assert (splits[list(fold.held_out)] == "test").all()
        assert (splits == "train").sum() == fold.n_train
        assert 0.1 < (splits == "val").sum() / (splits != "test").sum() < 0.3
    assert all_folds[0].held_out != all_folds[5].held_out


def test_copies_and_groups_stay_together() -> None:
    for frame in (table(), table(groups=25)):
        all_folds, _ = divide(frame, folds=4, repeats=1, stratified=True, val=0.25, seed=3)
        pool = frame[frame["split"] != "test"]["path"]
        for fold in all_folds:
            splits = fold.table.set_index("path").loc[pool.tolist(), ["split", "cluster", "group"]]
            assert (splits.groupby("cluster")["split"].nunique() == 1).all()
            if frame["group"].notna().any():
                assert (splits.groupby("group")["split"].nunique() == 1).all()


def test_stratified_folds_have_the_classes_shares() -> None:
    frame = table(600)
    all_folds, _ = divide(frame, folds=5, repeats=1, stratified=True, val=0.2, seed=0)
    labels = frame.set_index("path")["label"]
    shares = [labels[list(fold.held_out)].value_counts(normalize=True) for fold in all_folds]
    assert np.ptp(pd.DataFrame(shares).to_numpy(), axis=0).max() < 0.05


def test_the_same_seed_gives_the_same_folds() -> None:
    one, other = (divide(table(), folds=3, repeats=1, stratified=True, val=0.2, seed=7)[0] for _ in range(2))
    assert [fold.held_out for fold in one] == [fold.held_out for fold in other]
    assert one[0].held_out != divide(table(), folds=3, repeats=1, stratified=True, val=0.2, seed=8)[0][0].held_out


def test_too_many_folds_are_refused_and_small_classes_reported() -> None:
    # copies lie across the four groups, which joins them to two
    with pytest.raises(InputError, match="hold only 2 units"):
        divide(table(groups=4), folds=5, repeats=1, stratified=True, val=0.2, seed=0)
    frame = table()
    frame.loc[frame["path"].isin(["0002.png", "0003.png"]), "label"] = "rare"
    _, notes = divide(frame, folds=5, repeats=1, stratified=True, val=0.2, seed=0)
    assert notes == ["fewer units than folds, so some folds hold out none of: rare"]
