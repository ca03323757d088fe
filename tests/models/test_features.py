"""Features of a backbone: the input of its last layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from hallmark.contracts.errors import InputError
from hallmark.images.decoding import prepare
from hallmark.models import backbone, features, transfer, weights
from tests.models.test_transfer import CLASSES, KINDS, checkpoint, started
from tests.quality.made_source import encoded

if TYPE_CHECKING:
    from pathlib import Path

IMAGES = [encoded(np.random.default_rng(seed).integers(0, 256, (16, 16), np.uint8)) for seed in range(70)]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_head_maps_them_to_the_logits(tmp_path: Path, kind: str) -> None:
    folder = checkpoint(tmp_path / kind, kind, preprocessing={"image_mean": [0.4], "image_std": [0.3], "size": 16})
    source_network = backbone.read(folder, source="x")
    extracted = features.extract(source_network, IMAGES, device=torch.device("cpu"), workers=2)
    assert len(extracted) == len(IMAGES)
    _, network = started(folder)
    network.eval()
    with torch.inference_mode():
        expected = network(_planes())
        logits = transfer.head(network)(torch.from_numpy(extracted))
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    few = features.extract(source_network, IMAGES[:3], device=torch.device("cpu"), workers=1)
    np.testing.assert_allclose(few, extracted[:3], rtol=1e-4, atol=1e-5)


def test_our_own_networks_work_too(tmp_path: Path) -> None:
    description = {
        "name": "cnn",
        "classes": CLASSES,
        "arguments": {},
        "input": {"height": 16, "width": 16, "channels": 1, "scaling": "unit", "mean": [0.0], "std": [1.0]},
    }
    network = weights.network(description, seed=3).eval()
    weights.save_model(tmp_path, description, network.state_dict())
    source_network = backbone.read(tmp_path, source="x")
    extracted = features.extract(source_network, IMAGES, device=torch.device("cpu"), workers=2)
    with torch.inference_mode():
        expected = network(_planes())
        torch.testing.assert_close(transfer.head(network)(torch.from_numpy(extracted)), expected, rtol=1e-4, atol=1e-4)


def test_a_folder_without_weights_names_the_param(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"clean\.backbone 'x' has no weights"):
        backbone.read(tmp_path, source="x", param="clean.backbone")


def _planes() -> torch.Tensor:
    """float32 [images, 1, 16, 16] in [0, 1]."""
    pixels = np.stack([prepare(data, 16, 16, 1) for data in IMAGES])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
