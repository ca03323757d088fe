"""Descriptions of duplicate clusters: one representative each, and reasons for the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from hallmark.splitting import description


def described(leaks: list[bool] | None = None, **columns: Any) -> pd.DataFrame:
    """Four images of one cluster that differ in the named columns only, not sorted by path."""
    plain = {
        "path": ["d", "b", "c", "a"],
        "cluster": "k",
        "label": "cat",
        "split": "train",
        "width": 8,
        "height": 8,
        "pixel_hash": ["1", "1", "2", "1"],
    }
    images = pd.DataFrame(plain | columns, index=[7, 3, 5, 1])
    description.describe(images, np.array([False] * 4 if leaks is None else leaks))
    return images


def representative(images: pd.DataFrame) -> list[str]:
    return [str(path) for path in images.loc[images["representative"], "path"]]


def test_the_first_path_represents_a_cluster_and_the_others_are_its_copies() -> None:
    images = described()
    assert representative(images) == ["a"]
    assert images["cluster_size"].tolist() == [4] * 4
    assert images["reasons"].tolist() == ["exact_duplicate", "exact_duplicate", "near_duplicate", ""]


def test_the_most_held_out_then_the_largest_image_represents() -> None:
    assert representative(described(width=[8, 8, 9, 8])) == ["c"]
    assert representative(described(height=[99, 8, 9, 8])) == ["d"]
    assert representative(described(width=[8, 8, 9, 8], split=["val", "train", "train", "train"])) == ["d"]
    assert representative(described(split=["val", "test", "train", "val"])) == ["b"]


def test_each_cluster_has_a_representative_and_single_images_no_reason() -> None:
    images = described(cluster=["k", "l", "l", "m"])
    assert representative(images) == ["d", "b", "a"]
    assert images["cluster_size"].tolist() == [1, 2, 2, 1]
    assert images["reasons"].tolist() == ["", "", "near_duplicate", ""]


def test_two_labels_in_a_cluster_conflict_for_all_its_images() -> None:
    images = described(label=["cat", "cat", "dog", "cat"])
    assert images["reasons"].str.contains("conflicting_duplicate").all()
    assert images["reasons"].iloc[3] == "conflicting_duplicate"


def test_leaks_get_their_reason() -> None:
    images = described([True, False, False, True])
    assert images["reasons"].str.contains("split_leak").tolist() == [True, False, False, True]


def test_clusters_are_counted_by_kind() -> None:
    images = described(cluster=["k", "k", "l", "l"], label=["cat", "cat", "cat", "dog"])
    assert description.clusters(images) == {
        "exact_clusters": 1,
        "near_clusters": 1,
        "conflicting_clusters": 1,
        "images": 4,
        "exact_duplicates": 1,
        "near_duplicates": 1,
        "conflicting_duplicates": 2,
    }
    alone = described(cluster=list("klmn"))
    assert set(description.clusters(alone).values()) == {0}


def test_images_per_class_and_split() -> None:
    images = pd.DataFrame({"label": ["b", "a", "b", "b"], "split": ["test", "train", "train", "train"]})
    counted = description.per_class(images)
    assert list(counted.items()) == [
        ("a", {"train": 1, "val": 0, "test": 0}),
        ("b", {"train": 2, "val": 0, "test": 1}),
    ]
