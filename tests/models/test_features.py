"""Features of a backbone: the input of its last layer."""

from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from hallmark.contracts.errors import InputError
from hallmark.images.decoding import prepare
from hallmark.models import backbone, features, shipped, transfer, weights
from hallmark.models.params import SHIPPED
from tests.models.test_transfer import CLASSES, KINDS, checkpoint, started
from tests.quality.made_source import encoded

if TYPE_CHECKING:
    from pathlib import Path

CPU = torch.device("cpu")
IMAGES = [encoded(np.random.default_rng(seed).integers(0, 256, (16, 16), np.uint8)) for seed in range(70)]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def extracted(network: backbone.Backbone, images: list[bytes] = IMAGES) -> np.ndarray[Any, Any]:
    digests = [hashlib.sha256(data).hexdigest() for data in images]

    def load(rows: list[int]) -> Any:
        return features.prepared(network, [images[row] for row in rows], bits=8, workers=2)

    return features.cached(network, digests, load, bits=8, device=CPU)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_head_maps_them_to_the_logits(tmp_path: Path, kind: str) -> None:
    folder = checkpoint(tmp_path / kind, kind, preprocessing={"image_mean": [0.4], "image_std": [0.3], "size": 16})
    source_network = backbone.read(folder, source="x")
    values = extracted(source_network)
    assert len(values) == len(IMAGES)
    _, network = started(folder)
    network.eval()
    with torch.inference_mode():
        expected = network(_planes())
        logits = transfer.head(network)(torch.from_numpy(values))
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


def test_our_own_networks_work_too(tmp_path: Path) -> None:
    description = {
        "name": "cnn",
        "classes": CLASSES,
        "arguments": {},
        "input": {"height": 16, "width": 16, "channels": 1, "scaling": "unit", "mean": [0.0], "std": [1.0]},
    }
    network = weights.network(description, seed=3).eval()
    weights.save_model(tmp_path, description, network.state_dict())
    values = extracted(backbone.read(tmp_path, source="x"))
    with torch.inference_mode():
        expected = network(_planes())
        torch.testing.assert_close(transfer.head(network)(torch.from_numpy(values)), expected, rtol=1e-4, atol=1e-4)


def test_each_image_is_computed_once_and_alike_in_any_company() -> None:
    network = shipped.read(SHIPPED[0])
    images = [encoded(np.random.default_rng(seed).integers(0, 256, (50, 60, 3), np.uint8)) for seed in range(5)]
    alone = extracted(network, images[3:4])
    asked: list[list[int]] = []

    def load(rows: list[int]) -> Any:
        asked.append(rows)
        return features.prepared(network, [images[row] for row in rows], bits=8, workers=1)

    digests = [hashlib.sha256(data).hexdigest() for data in images]
    first = features.cached(network, digests, load, bits=8, device=CPU)
    assert asked == [[0, 1, 2, 4]]
    np.testing.assert_array_equal(first[3], alone[0])
    again = features.cached(network, digests[::-1] + digests, load, bits=8, device=CPU)
    assert len(asked) == 1
    np.testing.assert_array_equal(again, np.concatenate([first[::-1], first]))
    # other samples of 16-bit files, other pixels
    features.cached(network, digests, load, bits=12, device=CPU)
    assert asked[1:] == [[0, 1, 2, 3, 4]]
    shutil.rmtree(".hallmark")
    np.testing.assert_array_equal(features.cached(network, digests, load, bits=8, device=CPU), first)


def test_a_folder_without_weights_names_the_param(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"clean\.backbone 'x' has no weights"):
        backbone.read(tmp_path, source="x", param="clean.backbone")


def _planes() -> torch.Tensor:
    """float32 [images, 1, 16, 16] in [0, 1]."""
    pixels = np.stack([prepare(data, 16, 16, 1) for data in IMAGES])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
