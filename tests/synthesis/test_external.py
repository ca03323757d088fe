"""External images, and the sheet."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from hallmark.contracts.errors import InputError
from hallmark.synthesis import external, gallery

if TYPE_CHECKING:
    from pathlib import Path


def put(folder: Path, name: str, shade: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(gallery.png(np.full((6, 5, 3), shade, dtype=np.uint8)))


def read(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    return external.read(folder, names=["cat", "dog"], wanted=["dog"], shape=(8, 8, 1))


def test_wanted_classes_are_read_in_the_shape_of_the_images(tmp_path: Path) -> None:
    put(tmp_path / "dog", "b.png", 20)
    put(tmp_path / "dog" / "more", "a.png", 30)
    put(tmp_path / "cat", "c.png", 40)
    images, labels = read(tmp_path)
    assert images.shape == (2, 8, 8, 1)
    assert [int(image.mean()) for image in images] == [20, 30]
    assert labels.tolist() == [1, 1]


def test_faults_are_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        read(tmp_path / "none")
    with pytest.raises(InputError, match="holds no class folder"):
        read(tmp_path)
    put(tmp_path / "cat", "c.png", 40)
    with pytest.raises(InputError, match="no image of the classes wanted"):
        read(tmp_path)
    put(tmp_path / "dog", "b.png", 20)
    (tmp_path / "dog" / "d.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"1 files cannot be read: dog/d\.png"):
        read(tmp_path)
    put(tmp_path / "bird", "b.png", 20)
    with pytest.raises(InputError, match="'bird' is no class"):
        read(tmp_path)


def test_the_sheet_shows_enlarged_images_in_equal_bytes() -> None:
    real = np.full((2, 8, 8, 3), (250, 20, 90), dtype=np.uint8)
    generated = np.full((3, 8, 8, 3), (10, 90, 20), dtype=np.uint8)
    data = gallery.sheet([("a very long name of a class", real, generated), ("b", real[:0], generated)])
    assert data == gallery.sheet([("a very long name of a class", real, generated), ("b", real[:0], generated)])
    picture = np.asarray(Image.open(io.BytesIO(data)))
    assert (picture == (10, 90, 20)).all(axis=2).sum() == 2 * 3 * 48 * 48
    assert (picture == (250, 20, 90)).all(axis=2).sum() == 2 * 48 * 48
    assert gallery.sheet([("c", np.zeros((1, 64, 48, 3), np.uint8), np.zeros((1, 64, 48, 3), np.uint8))])
