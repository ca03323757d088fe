"""The stage train starting from trained networks, and searching its own values."""

from __future__ import annotations

import dataclasses
import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import torch

from hallmark.contracts.errors import InputError
from hallmark.models import weights
from hallmark.serving import package
from hallmark.serving.classifier import Classifier
from hallmark.tracking import registry
from tests.learning import workspace
from tests.models.test_transfer import checkpoint
from tests.tasks.test_train import AUTO, FAST, run, store

if TYPE_CHECKING:
    from pathlib import Path

    from tasks import train

__all__ = ["store"]  # a fixture for every test here too


def starting(backbone: str, **changes: Any) -> train.Params:
    return replace(FAST, model=replace(AUTO, name="pretrained", backbone=backbone, **changes))


def test_from_a_transformers_folder_to_a_package_that_needs_neither_it_nor_torch(tmp_path: Path) -> None:
    folders = workspace.make(tmp_path, count=150, classes=3)
    seen = {"size": {"height": 16, "width": 16}, "image_mean": [0.5], "image_std": [0.5]}
    where = checkpoint(tmp_path / "vit-tiny", preprocessing=seen)
    report, files = run(tmp_path, folders, starting(str(where)))
    assert (report.model, report.image_size, report.channels, report.scaling) == ("pretrained", 16, 1, "backbone")
    assert report.transfer is not None
    assert report.transfer["source"] == "vit-tiny"
    assert (report.transfer["head"], report.transfer["freeze"]) == ("fitted", 0.0)
    assert str(tmp_path) not in json.dumps(dataclasses.asdict(report))
    description = json.loads(files["model.json"])
    assert (description["input"]["mean"], description["input"]["std"]) == ([0.5], [0.5])
    assert "VIT" not in files["model.json"].decode()
    shutil.rmtree(where)  # from here on the model is all there is
    package.export(tmp_path / "data/train", _new(tmp_path / "package"))
    images = [workspace.png(np.full((8, 8), value, np.uint8)) for value in (0, 90, 255)]
    answers = Classifier(tmp_path / "package").probabilities(images)
    network = weights.load(tmp_path / "data/train")
    pixels = torch.tensor([0.0, 90.0, 255.0]).view(3, 1, 1, 1).expand(3, 1, 16, 16) / 255
    with torch.inference_mode():
        np.testing.assert_allclose(answers, network(pixels).softmax(1).numpy(), atol=package.TOLERANCE)


def test_the_same_bytes_from_a_backbone_and_others_from_another(tmp_path: Path) -> None:
    folders = workspace.make(tmp_path, count=100, classes=3)
    where = checkpoint(tmp_path / "net", "resnet")
    made = [run(_new(tmp_path / number), folders, starting(str(where), image_size=8))[1] for number in "ab"]
    assert made[0] == made[1]
    shutil.rmtree(tmp_path / ".hallmark")
    assert run(_new(tmp_path / "c"), folders, starting(str(where), image_size=8))[1] == made[0]
    shutil.rmtree(where)
    checkpoint(where, "resnet", hidden_act="gelu")
    assert run(_new(tmp_path / "d"), folders, starting(str(where), image_size=8))[1] != made[0]


def test_from_a_registered_model_of_ours(tmp_path: Path) -> None:
    first = workspace.make(tmp_path / "first", count=200, classes=3)
    run(_new(tmp_path / "one"), first, replace(FAST, model=replace(AUTO, name="cnn")))
    trained = tmp_path / "one" / "data" / "train"
    version = registry.register(
        FAST.tracking, name="digits", digest=package.digest(trained), package=lambda to: package.export(trained, to),
        weights=trained / "model.safetensors", extras={}, tags={}, metrics={}, against=None,
    )  # fmt: skip
    registry.point("digits", registry.CHAMPION, version)
    second = workspace.make(tmp_path / "second", count=300, classes=6)
    report, files = run(_new(tmp_path / "two"), second, starting("models:/digits@champion"))
    assert report.model == "cnn"
    assert report.transfer is not None
    assert report.transfer["source"] == "models:/digits@champion"
    assert (report.transfer["revision"], report.transfer["head"]) == (str(version), "fitted")
    assert len(report.classes) == 6
    old, new = (json.loads((tmp_path / each / "data/train/model.json").read_text()) for each in ("one", "two"))
    assert (old["arguments"], old["input"]["mean"]) == (new["arguments"], new["input"]["mean"])
    # with the same classes the head is kept, so that without a step the model would be the registered one
    kept, _ = run(_new(tmp_path / "three"), first, starting(f"models:/digits/{version}"))
    assert kept.transfer is not None
    assert (kept.transfer["head"], kept.transfer["freeze"]) == ("kept", 0.0)
    with pytest.raises(InputError, match=r"model.backbone: the registry has no models:/digits/99"):
        run(_new(tmp_path / "four"), second, starting("models:/digits/99"))
    with pytest.raises(InputError, match=r"model.backbone is 'models:/digits'"):
        run(_new(tmp_path / "five"), second, starting("models:/digits"))
    assert files


def test_a_head_alone_is_trained_where_the_rest_is_frozen_to_the_end(tmp_path: Path) -> None:
    folders = workspace.make(tmp_path, count=100, classes=3)
    where = checkpoint(tmp_path / "net", "resnet")
    params = replace(starting(str(where), image_size=8), freeze=1.0, ema=0.5)
    run(tmp_path, folders, params)
    found = weights.load(tmp_path / "data/train").state_dict()
    from safetensors.torch import load_file

    given = load_file(where / "model.safetensors")
    for name, value in given.items():
        mine = found[f"body.network.{name}"]
        if "classifier" in name:
            assert mine.shape != value.shape
        else:  # weights and the statistics of batch norms alike
            torch.testing.assert_close(mine, value, rtol=1e-5, atol=1e-6)


def test_searched_values_are_reported_and_drawn(tmp_path: Path) -> None:
    folders = workspace.make(tmp_path, count=300, classes=5)
    params = replace(FAST, model=replace(AUTO, name="cnn"), lr="find", batch_size="find")
    report, files = run(tmp_path, folders, params)
    curve = pd.read_csv(tmp_path / "reports/plots/train/lr_search.csv")
    assert report.lr_search == curve.to_dict("records")
    best = curve["lr"][int(curve["loss"].argmin())]
    assert report.lr == pytest.approx(best / 10, rel=0.05)
    assert report.batch_size & (report.batch_size - 1) == 0
    assert report.batch_size <= report.n_train / 8
    shutil.rmtree(tmp_path / ".hallmark")
    again, other = run(_new(tmp_path / "again"), folders, params)
    assert (again.lr, again.lr_search) == (report.lr, report.lr_search)
    assert other == files


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder
