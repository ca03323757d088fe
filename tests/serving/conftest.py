from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from hallmark.models import weights

if TYPE_CHECKING:
    from pathlib import Path

CLASSES = ["cat", "dog", "owl"]


@pytest.fixture(scope="session")
def train(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the train stage leaves it: a colour network that was never trained."""
    folder = tmp_path_factory.mktemp("train")
    shape = {"height": 8, "width": 6, "channels": 3, "scaling": "unit", "mean": [0.1] * 3, "std": [0.3] * 3}
    description = {"name": "perceptron", "classes": CLASSES, "arguments": {}, "input": shape}
    weights.save_model(folder, description, weights.network(description, seed=3).state_dict())
    return folder


@pytest.fixture(scope="session")
def picture() -> bytes:
    """A PNG larger than the network's input."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (13, 11, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()
