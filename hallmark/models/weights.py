"""Trained networks on disk: model.json describes the network, model.safetensors holds its weights. No pickle."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from safetensors.torch import load_file, save

from hallmark.contracts.errors import InputError
from hallmark.models.build import build

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn

DESCRIPTION = "model.json"
WEIGHTS = "model.safetensors"


def describe(folder: Path) -> dict[str, Any]:
    """The description in model.json: name, classes, arguments, input."""
    path = folder / DESCRIPTION
    if not path.is_file():
        raise InputError(f"there is no model in '{folder}'", remedy="run the train stage first")
    description: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return description


def network(description: Mapping[str, Any], *, seed: int = 0) -> nn.Module:
    """An untrained network of this description."""
    shape = description["input"]
    return build(
        description["name"],
        classes=len(description["classes"]),
        height=shape["height"],
        width=shape["width"],
        channels=shape["channels"],
        mean=shape["mean"],
        std=shape["std"],
        seed=seed,
        **description["arguments"],
    )


def save_model(folder: Path, description: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
    """Writes both files; equal weights give equal bytes."""
    tensors = {name: state[name].detach().cpu().contiguous() for name in sorted(state)}
    (folder / WEIGHTS).write_bytes(save(tensors))
    text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
    (folder / DESCRIPTION).write_text(text, encoding="utf-8")


def load(folder: Path) -> nn.Module:
    """The trained network of a folder, on the CPU, in evaluation mode."""
    module = network(describe(folder))
    module.load_state_dict(load_file(folder / WEIGHTS))
    return module.eval()
