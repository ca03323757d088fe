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


def written(path: Path, rows: list[tuple[Any, ...]], columns: tuple[str, ...] = ("cat", "dog")) -> Path:
    table = pd.DataFrame(rows, columns=["path", "repeat", "fold", "label", "predicted", *columns])
    table.to_parquet(path)
    return path


def test_repeats_are_averaged_copies_share_and_others_have_none(tmp_path: Path) -> None:
    rows = [
        ("b", 1, 1, "cat", "cat", 0.8, 0.2),
        ("b", 2, 3, "cat", "dog", 0.4, 0.6),
        ("d", 1, 2, "dog", "dog", 0.1, 0.9),
        ("gone", 1, 2, "dog", "dog", 0.5, 0.5),
    ]
    result = read_predictions(written(tmp_path / "p.parquet", rows), images=IMAGES, columns=["cat", "dog"])
    np.testing.assert_allclose(result, [[0.6, 0.4], [0.6, 0.4], [np.nan, np.nan], [0.1, 0.9]])


@pytest.mark.parametrize(
    ("columns", "path", "message"),
    [
        (["cat", "dog"], "z", "has none of the images"),
        (["cat", "cow"], "a", "has the classes dog, which no image has"),
        (["cat", "dog", "cow"], "a", "has no class cow"),
        (["x", "y"], "a", "has no column x, y"),
    ],
)
def test_another_table_is_refused_by_what_is_wrong(tmp_path: Path, columns: list[str], path: str, message: str) -> None:
    table = written(tmp_path / "p.parquet", [(path, 1, 1, "cat", "cat", 0.8, 0.2)])
    with pytest.raises(InputError, match=message):
        read_predictions(table, images=IMAGES, columns=columns)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^out_of_fold: .*none.parquet cannot be read"):
        read_predictions(tmp_path / "none.parquet", images=IMAGES, columns=["cat"])
    (tmp_path / "text.parquet").write_text("path,cat")
    with pytest.raises(InputError, match="cannot be read"):
        read_predictions(tmp_path / "text.parquet", images=IMAGES, columns=["cat"])


def test_a_classifier_too_sure_of_itself_is_brought_down() -> None:
    random = np.random.default_rng(0)
    label = random.integers(0, 3, 3000)
    # right seven times of ten, and always sure
    predicted = np.where(random.random(3000) < 0.7, label, (label + 1) % 3)
    probabilities = np.full((3000, 3), 0.0005)
    probabilities[np.arange(3000), predicted] = 0.999
    result = calibrated(probabilities, label)
    assert result.max(axis=1).mean() == pytest.approx(0.7, abs=0.05)
    assert (result.argmax(axis=1) == predicted).all()
    np.testing.assert_allclose(result.sum(axis=1), 1)


def test_a_table_without_paths_is_refused_by_that_name(tmp_path: Path) -> None:
    file = tmp_path / "p.parquet"
    pd.DataFrame({"cat": [0.8], "dog": [0.2]}).to_parquet(file)
    with pytest.raises(InputError, match=r"has no column path(;|$)"):
        read_predictions(file, images=IMAGES, columns=["cat", "dog"])
