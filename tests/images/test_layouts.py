"""Folders are read as what they are, or refused with what to write."""

from __future__ import annotations

import pytest

from hallmark.contracts.errors import InputError
from hallmark.images import layouts, splits


def arranged(*names: str, layout: str = "auto", unwrap: bool = False) -> dict[str, tuple[str | None, ...]]:
    """path → (label, split, reasons...); names without a suffix are images."""
    names = tuple(name if "." in name.rpartition("/")[2] else f"{name}.png" for name in names)
    _, entries = layouts.arrange(names, layout=layout, unwrap=unwrap)
    return {file.path: (file.label, file.given_split, *file.reasons) for file in entries}


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("training_set", "val_set", "test_set"),
        ("train_images", "valid_images", "test_images"),
        ("Training", "Validation", "Testing"),
        ("TRAIN", "DEV", "EVAL"),
        ("train2017", "val2017", "test2017"),
        ("train_1", "val_1", "test_1"),
        ("trainset", "valset", "testset"),
        ("TrainImages", "ValImages", "TestImages"),
        ("training data", "validation data", "evaluation"),
        ("01-train", "02-dev", "03-test"),
        ("seg_train", "seg_val", "seg_test"),
        ("mnist.train", "mnist.valid", "mnist.test"),
        ("ｔｒａｉｎ", "val ", "test"),
    ],
)
def test_split_folders_in_many_spellings(train: str, val: str, test: str) -> None:
    rows = arranged(*(f"{split}/{label}/1" for split in (train, val, test) for label in ("cat", "dog")))
    assert rows == {
        f"{folder}/{label}/1.png": (label, split)
        for folder, split in ((train, "train"), (val, "val"), (test, "test"))
        for label in ("cat", "dog")
    }


@pytest.mark.parametrize(
    "name", ["trains", "steam train set", "contrast", "testify", "attest", "latest", "valley", "device", "test tube"]
)
def test_words_that_only_look_like_splits(name: str) -> None:
    assert splits.split_of(name) is None


def test_eval_beside_test_is_val() -> None:
    rows = arranged("train/a/1", "train/b/1", "eval/a/1", "test/a/1")
    assert [row[1] for row in rows.values()] == ["val", "test", "train", "train"]


@pytest.mark.parametrize(
    "folders",
    [
        ("train", "test"),
        ("training_set", "test_set"),
        ("train", "val", "test", "plane"),
        ("train_cat", "test_cat"),
        ("train1", "train2"),
        ("train",),
    ],
)
def test_splits_without_classes_are_refused(folders: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=r"named as .*split.* no class folders.*metadata\.csv.*ingest\.layout="):
        arranged(*(f"{folder}/{number}" for folder in folders for number in range(3)))
    rows = arranged(*(f"{folder}/1" for folder in folders), layout="class_folders")
    assert {row[0] for row in rows.values()} == set(folders)


@pytest.mark.parametrize(
    ("tops", "below", "match"),
    [
        (("setA", "setB"), ("cat", "dog"), "'setA', 'setB' hold the same folders 'cat', 'dog'"),
        (("cat", "dog", "cow"), ("train", "test"), "put the splits above the classes .such as test/cat/1.png."),
        (("part one", "part two"), ("a", "b", "c"), "either may be the classes"),
    ],
)
def test_folders_that_all_hold_the_same_are_refused(tops: tuple[str, ...], below: tuple[str, ...], match: str) -> None:
    names = [f"{top}/{folder}/1" for top in tops for folder in below]
    with pytest.raises(InputError, match=match):
        arranged(*names)
    with pytest.raises(InputError, match=match):
        arranged(*names[:-1], "readme.txt", f"{tops[0]}/notes.md") if len(names) > 4 else arranged(*names)
    assert {row[0] for row in arranged(*names, layout="class_folders").values()} == set(tops)


def test_folders_within_classes_are_no_doubt() -> None:
    assert {row[0] for row in arranged("cat/images/1", "dog/images/1").values()} == {"cat", "dog"}
    assert {row[0] for row in arranged("ill/p1/1", "ill/p2/1", "well/p3/1", "well/p4/1").values()} == {"ill", "well"}
    assert {row[0] for row in arranged("train/1", "car/1", "bus/1").values()} == {"train", "car", "bus"}


def test_a_split_beside_other_folders_is_refused() -> None:
    with pytest.raises(InputError, match="'train' is named as a split and holds the folders 'cat', 'dog', but beside"):
        arranged("train/cat/1", "train/dog/1", "more images/1")


def test_a_flat_training_folder_is_refused() -> None:
    with pytest.raises(InputError, match="the folder 'train' is named as a split but holds no class folders"):
        arranged("train/1", "val/cat/1", "val/dog/1")


def test_a_competitions_test_set_has_no_labels() -> None:
    rows = arranged("train/cat/1", "train/dog/1", "test/1", "test/2", "test/list.txt", "sample_submission.csv")
    assert rows == {
        "sample_submission.csv": (None, None, "stray_file"),
        "test/1.png": (None, "test", "unlabelled"),
        "test/2.png": (None, "test", "unlabelled"),
        "test/list.txt": (None, "test", "stray_file"),
        "train/cat/1.png": ("cat", "train"),
        "train/dog/1.png": ("dog", "train"),
    }
    assert arranged("train/cat/1", "train/dog/1", "test/unknown/1")["test/unknown/1.png"] == (
        None,
        "test",
        "unlabelled",
    )
    assert arranged("train/cat/1", "train/dog/1", "test/cat/1")["test/cat/1.png"] == ("cat", "test")


@pytest.mark.parametrize("around", ["PetImages/", "archive/PetImages/", "data/", "a/b/c/"])
def test_folders_around_all_classes_are_passed_over(around: str) -> None:
    rows = arranged(f"{around}Cat/1", f"{around}Dog/deep/2", f"{around}readme.txt", "licence.pdf", "docs/how.md")
    assert {path: row[0] for path, row in rows.items()} == {
        f"{around}Cat/1.png": "Cat",
        f"{around}Dog/deep/2.png": "Dog",
        f"{around}readme.txt": None,
        "licence.pdf": None,
        "docs/how.md": None,
    }
    split = arranged(f"{around}train/a/1", f"{around}train/b/1", f"{around}test/a/1")
    assert set(split.values()) == {("a", "train"), ("b", "train"), ("a", "test")}


def test_a_lone_class_is_no_wrapper() -> None:
    assert arranged("cat/deep/1", "cat/2") == {"cat/deep/1.png": ("cat", None), "cat/2.png": ("cat", None)}
    assert arranged("pets/cat/1", unwrap=True) == {"pets/cat/1.png": ("cat", None)}


def test_a_folder_around_the_classes_of_each_split() -> None:
    rows = arranged(*(f"seg_{split}/seg_{split}/{label}/1" for split in ("train", "test") for label in ("sea", "hill")))
    assert set(rows.values()) == {("sea", "train"), ("hill", "train"), ("sea", "test"), ("hill", "test")}
