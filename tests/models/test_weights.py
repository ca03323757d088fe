"""Trained networks on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from hallmark.contracts.errors import InputError
from hallmark.models import weights

if TYPE_CHECKING:
    from pathlib import Path

DESCRIPTION: dict[str, Any] = {
    "name": "cnn",
    "classes": ["cat", "dog"],
    "arguments": {"units": 4, "depth": 2},
    "input": {"height": 8, "width": 8, "channels": 3, "scaling": "standard", "mean": [0.1] * 3, "std": [0.3] * 3},
}


def test_a_saved_network_loads_unchanged(tmp_path: Path) -> None:
    network = weights.network(DESCRIPTION, seed=3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second):
        folder.mkdir()
        weights.save_model(folder, DESCRIPTION, network.state_dict())
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()
    loaded = weights.load(first)
    assert not loaded.training
    x = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(loaded(x), network.eval()(x))
    assert weights.describe(first) == DESCRIPTION


def test_a_missing_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no model in"):
        weights.load(tmp_path)
