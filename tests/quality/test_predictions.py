from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from hallmark.contracts.errors import InputError
from hallmark.quality.labels import calibrated
from hallmark.quality.predictions import read_predictions

if TYPE_CHECKING:
    from pathlib import Path

IMAGES = pd.DataFrame({"path": ["a", "b", "c", "d"], "cluster": ["a", "a", "c", "d"]})


def written(place: Path, rows: list[tuple[Any, ...]], columns: tuple[str, ...] = ("cat", "dog")) -> Path:
    table = pd.DataFrame(rows, columns=["path", "repeat", "fold", "label", "predicted", *columns])
    table.to_parquet(place)
    return place


def test_repeats_are_averaged_copies_share_and_others_have_none(tmp_path: Path) -> None:
    rows = [
        ("b", 1, 1, "cat", "cat", 0.8, 0.2),
        ("b", 2, 3, "cat", "dog", 0.4, 0.6),
        ("d", 1, 2, "dog", "dog", 0.1, 0.9),
        ("gone", 1, 2, "dog", "dog", 0.5, 0.5),
    ]
    found = read_predictions(written(tmp_path / "p.parquet", rows), images=IMAGES, columns=["cat", "dog"])
    np.testing.assert_allclose(found, [[0.6, 0.4], [0.6, 0.4], [np.nan, np.nan], [0.1, 0.9]])


@pytest.mark.parametrize(
    ("columns", "path", "message"),
    [
        (["cat", "dog"], "z", "knows none of the images"),
        (["cat", "cow"], "a", "knows the classes dog, which no image has"),
        (["cat", "dog", "cow"], "a", "knows no class cow"),
        (["x", "y"], "a", "has no column x, y"),
    ],
)
def test_another_table_is_refused_by_what_is_wrong(tmp_path: Path, columns: list[str], path: str, message: str) -> None:
    place = written(tmp_path / "p.parquet", [(path, 1, 1, "cat", "cat", 0.8, 0.2)])
    with pytest.raises(InputError, match=message):
        read_predictions(place, images=IMAGES, columns=columns)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"clean.out_of_fold: .*none.parquet cannot be read"):
        read_predictions(tmp_path / "none.parquet", images=IMAGES, columns=["cat"])
    (tmp_path / "text.parquet").write_text("path,cat")
    with pytest.raises(InputError, match="cannot be read"):
        read_predictions(tmp_path / "text.parquet", images=IMAGES, columns=["cat"])


def test_a_classifier_too_sure_of_itself_is_brought_down() -> None:
    random = np.random.default_rng(0)
    label = random.integers(0, 3, 3000)
    said = np.where(random.random(3000) < 0.7, label, (label + 1) % 3)  # right seven times of ten, and always sure
    probabilities = np.full((3000, 3), 0.0005)
    probabilities[np.arange(3000), said] = 0.999
    found = calibrated(probabilities, label)
    assert found.max(axis=1).mean() == pytest.approx(0.7, abs=0.05)
    assert (found.argmax(axis=1) == said).all()
    np.testing.assert_allclose(found.sum(axis=1), 1)
