"""Several models as one package: it answers with their mean, and refuses models that do not match."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from hallmark.contracts.errors import InputError
from hallmark.models import weights
from hallmark.serving import ensemble, package
from hallmark.serving.classifier import Classifier

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def members(train: Path, tmp_path: Path) -> list[Path]:
    """The trained model, and one with other weights and another scaling."""
    second = tmp_path / "second"
    shutil.copytree(train, second)
    description = weights.describe(second)
    description["input"]["mean"] = [0.4] * len(description["input"]["mean"])
    network = weights.network(description, seed=5)
    weights.save_model(second, description, network.state_dict())
    return [train, second]


def test_it_answers_with_the_mean_of_its_members(members: list[Path], tmp_path: Path, picture: bytes) -> None:
    folders = [tmp_path / name for name in ("both", "one", "two")]
    for folder in folders:
        folder.mkdir()
    ensemble.export(members, folders[0])
    for member, folder in zip(members, folders[1:], strict=True):
        package.export(member, folder)
    both, one, two = (Classifier(folder).probabilities([picture] * 3) for folder in folders)
    assert np.abs(both - (one + two) / 2).max() < 1e-5
    assert np.abs(one - two).max() > 1e-3, "the members are equal, so the mean proves nothing"
    assert sorted(path.name for path in folders[0].iterdir()) == [
        "classifier.py", "decoding.py", "model-0.safetensors", "model-1.safetensors", "model.json", "model.onnx",
    ]  # fmt: skip


def test_the_digest_follows_every_member(members: list[Path]) -> None:
    first = ensemble.digest(members)
    assert ensemble.digest(members[:1]) != first != package.digest(members[0])
    state = weights.load(members[1]).state_dict()
    name = next(iter(state))
    state[name] = state[name] + torch.ones_like(state[name])
    weights.save_model(members[1], weights.describe(members[1]), state)
    assert ensemble.digest(members) != first


def test_models_of_other_classes_are_refused(members: list[Path], tmp_path: Path) -> None:
    description = weights.describe(members[1])
    description["classes"] = [f"{name}x" for name in description["classes"]]
    (members[1] / "model.json").write_text(json.dumps(description))
    with pytest.raises(InputError, match="differ in classes"):
        ensemble.export(members, tmp_path)
