"""A loaded model answers for files, arrays and Pillow images as `hallmark predict` does for files."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from hallmark.contracts.errors import InputError
from hallmark.images.guard import Limits
from hallmark.serving import loading, paths
from hallmark.serving import predict as predicting
from hallmark.serving.loading import Model

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = ["path", "label", "probability", "error"]


@pytest.fixture
def model(train: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    monkeypatch.chdir(tmp_path)
    return Model(str(train))


@pytest.fixture
def file(tmp_path: Path, picture: bytes) -> Path:
    path = tmp_path / "a.png"
    path.write_bytes(picture)
    return path


def classified(frame: pd.DataFrame) -> Any:
    return frame.drop(columns=["path", "error"]).to_numpy()


def test_a_file_its_pixels_and_its_image_get_the_same_answer(model: Model, train: Path, file: Path) -> None:
    image = Image.open(file)
    frame = model.predict([file, str(file), image, np.asarray(image)])
    assert frame["path"].tolist() == [str(file), str(file), pd.NA, pd.NA]
    assert frame["error"].tolist() == [""] * 4
    first = frame.iloc[0]
    for number in range(1, 4):
        assert frame.iloc[number].drop("path").equals(first.drop("path"))
    (row,) = predicting.predict(paths.expand([str(file)]), model_uri=str(train), limits=loading.LIMITS, workers=1).rows
    assert (first["label"], first["probability"]) == (row["label"], row["probability"])
    assert {name: first[f"probability_{name}"] for name in model.classes} == row["probabilities"]


def test_one_image_several_and_a_batch(model: Model, file: Path) -> None:
    pixels = np.asarray(Image.open(file))
    one = model.predict(pixels)
    assert list(one.columns[:4]) == COLUMNS
    assert list(one.columns[4:]) == [
        f"{kind}_{name}" for kind in ("probability", "calibrated") for name in model.classes
    ]
    assert one.filter(like="calibrated").isna().all(axis=None)  # it is not registered: no temperature
    assert len(model.predict(file)) == 1
    assert len(model.predict([])) == 0
    batch = model.predict(np.stack([pixels, 255 - pixels]))
    assert (classified(batch.iloc[:1]) == classified(one)).sum() == 5
    assert batch["probability_cat"].nunique() == 2


def test_folders_and_bad_files_keep_their_order_and_cost_their_own_row(
    model: Model, tmp_path: Path, picture: bytes
) -> None:
    (tmp_path / "in").mkdir()
    for name, data in (("1.png", picture), ("2.png", b"text")):
        (tmp_path / "in" / name).write_bytes(data)
    frame = model.predict(["missing.png", np.zeros((3, 3), np.uint8), "in"], workers=2)
    assert frame["path"].tolist() == ["missing.png", pd.NA, "in/1.png", "in/2.png"]
    assert [bool(error) for error in frame["error"]] == [True, False, False, True]
    assert frame["label"].isna().tolist() == [True, False, False, True]
    assert frame["error"][0] == "no such file"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"])
def test_every_usual_mode_is_as_its_file(model: Model, tmp_path: Path, mode: str) -> None:
    grey = Image.fromarray(np.arange(63, dtype=np.uint8).reshape(7, 9) * 4)
    image = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
    assert image.mode == mode
    path = tmp_path / ("a.tiff" if mode == "CMYK" else "a.png")
    image.save(path)
    frame = model.predict([image, path])
    assert frame["error"].tolist() == ["", ""]
    first, second = frame.filter(like="probability_").to_numpy()
    assert np.allclose(first, second, atol=1e-6)


def test_channels_and_orientation_count(model: Model, tmp_path: Path) -> None:
    grey = np.arange(63, dtype=np.uint8).reshape(7, 9) * 4
    frame = model.predict([grey, grey[:, :, None], np.stack([grey] * 3, axis=2), grey[:1, :, None]])
    values = frame.filter(like="probability_").to_numpy()
    assert (values[:3] == values[0]).all()
    exif = Image.Exif()
    exif[274] = 6  # to be turned by a quarter
    Image.fromarray(grey).save(tmp_path / "turned.png", exif=exif)
    turned = model.predict([tmp_path / "turned.png", Image.open(tmp_path / "turned.png"), grey])
    first, second, third = turned.filter(like="probability_").to_numpy()
    assert (first == second).all()
    assert (first != third).any()


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((3, 4)), r"image 0 is ndarray of float64 \[3, 4\]; give a path, a Pillow image, or uint8"),
        (np.zeros((3, 4, 2), np.uint8), r"uint8 \[3, 4, 2\]"),
        (np.zeros((0, 4), np.uint8), r"uint8 \[0, 4\]"),
        ([np.zeros((3, 3), np.uint8), 7], "image 1 is int"),
        (b"bytes", "image 0 is bytes"),
        (Image.new("F", (3, 3)), "image 0 is a Pillow image of mode F; convert it"),
    ],
)
def test_what_is_no_image_is_refused(model: Model, image: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        model.predict(image)


def test_the_workspaces_limits_hold(train: Path, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("1", (1001, 1000)).save(buffer, "PNG")
    (tmp_path / "big.png").write_bytes(buffer.getvalue())
    assert loading.load(str(train), workspace=tmp_path).predict(tmp_path / "big.png")["error"].tolist() == [""]
    limits = {"max_pixels": 10**6, "seconds_per_image": 600.0, "memory_mib": 512}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"validate": limits}))
    (error,) = loading.load(str(train), workspace=tmp_path).predict(tmp_path / "big.png")["error"]
    assert "decompression_bomb: it declares 1001 x 1000 pixels" in error


def test_the_default_limits_are_those_of_a_new_workspace() -> None:
    from tests.conftest import ROOT

    of = yaml.safe_load((ROOT / "params.yaml").read_text())["validate"]
    limits = Limits(max_pixels=of["max_pixels"], seconds=of["seconds_per_image"], memory_mib=of["memory_mib"])
    assert limits == loading.LIMITS


def test_a_model_says_what_it_is(model: Model, train: Path) -> None:
    assert repr(model) == f"<Model {train}, not registered: cat, dog, owl>"
    assert (model.version, model.classes) == (None, ("cat", "dog", "owl"))
    with pytest.raises(InputError, match="no model in folder"):
        Model("nowhere")
