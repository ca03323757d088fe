"""The images of later stages: removed ones are in none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from hallmark.contracts.tables import DECISIONS, MANIFEST, PLAN, SPLIT, Table, write_table
from hallmark.sampling import partitions

if TYPE_CHECKING:
    from pathlib import Path

PATHS = ["a.png", "b.png", "c.png", "d.png"]
DEFAULTS = {"string": "", "int64": 0, "int32": 0, "bool": False, "float64": 1.0}


def write(folder: Path, name: str, table: Table, columns: dict[str, Any]) -> None:
    """A table with default values in all but these columns."""
    folder.mkdir(exist_ok=True)
    plain = {column: DEFAULTS[kind] for column, kind in table.items()}
    write_table(pd.DataFrame(plain | columns), table, folder / name)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Four images: b is removed, d is in val."""
    stored = {"shard": [0, 0, 1, 1, -1], "row": [5, 6, 7, 8, -1], "sha256": list("stuvw"), "meta_site": list("kllmm")}
    write(tmp_path / "ingest", "manifest.parquet", MANIFEST, {"path": [*PATHS, "notes.txt"], **stored})
    units = {"path": PATHS, "group": list("gghh"), "cluster": PATHS, "representative": True}
    write(tmp_path / "split", "split.parquet", SPLIT, units)
    fates = {
        "label": list("xxyy"),
        "split": ["train"] * 3 + ["val"],
        "fate": ["kept", "removed", "relabelled", "flagged"],
    }
    write(tmp_path / "clean", "decisions.parquet", DECISIONS, {"path": PATHS, **fates})
    plan = {"label": list("xxy"), "repeats": [2, 0, 1], "probability": [0.9, 0.1, 0.0]}
    write(tmp_path / "balance", "plan.parquet", PLAN, {"path": PATHS[:3], **plan})
    return tmp_path


def test_training_images_are_those_that_an_epoch_can_show(workspace: Path) -> None:
    images = partitions.training(ingest=workspace / "ingest", balance=workspace / "balance")
    assert images.to_dict("list") == {"path": ["a.png"], "label": ["x"], "shard": [0], "row": [5]}


def test_removed_images_are_in_no_split(workspace: Path) -> None:
    images = partitions.remaining(
        ingest=workspace / "ingest", split=workspace / "split", clean=workspace / "clean"
    ).set_index("path")
    assert images.index.tolist() == ["a.png", "c.png", "d.png"]
    assert images.loc["c.png"].to_dict() == {
        "label": "y",
        "split": "train",
        "fate": "relabelled",
        "shard": 1,
        "row": 7,
        "sha256": "u",
        "group": "h",
        "cluster": "c.png",
        "representative": True,
        "meta_site": "l",
    }


@pytest.mark.parametrize(("classes", "paths"), [(["x", "y"], ["d.png"]), (["x"], [])])
def test_validation_images_are_those_of_the_requested_classes(
    workspace: Path, classes: list[str], paths: list[str]
) -> None:
    folders = {name: workspace / name for name in ("ingest", "split", "clean")}
    images = partitions.validation(**folders, classes=classes)
    assert images["path"].tolist() == paths
    assert images.index.tolist() == list(range(len(paths)))
