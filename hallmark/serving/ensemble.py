"""Several trained networks as one package, which answers with the mean of their probabilities.

It is served like any other package (:mod:`hallmark.serving.classifier`); ``model-<n>.safetensors`` hold the members'
weights.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any

from hallmark.contracts.errors import InputError
from hallmark.serving import package

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import nn


# the input fields in which all members must agree
INPUT_FIELDS = ("height", "width", "channels", "bits")


def digest(members: Sequence[Path]) -> str:
    """SHA-256 over the members' digests, in order."""
    total = hashlib.sha256(b"ensemble")
    for member in members:
        total.update(package.digest(member).encode())
    return total.hexdigest()


def export(members: Sequence[Path], folder: Path) -> None:
    """Writes the package of the models in ``members`` into ``folder``, which exists.

    Raises InputError if the members differ in classes or image size, HallmarkError if the exported network differs
    from the members' mean.
    """
    from hallmark.models import weights

    described = [weights.describe(member) for member in members]
    first = described[0]
    for each in described[1:]:
        shapes = [{name: one["input"].get(name) for name in INPUT_FIELDS} for one in (first, each)]
        if each["classes"] != first["classes"] or shapes[0] != shapes[1]:
            raise InputError(
                "the folds' models differ in classes or image size and cannot form one ensemble",
                remedy="set model.image_size and model.channels, and give each class images in every fold",
            )
    for number, member in enumerate(members):
        shutil.copyfile(member / "model.safetensors", folder / f"model-{number}.safetensors")
    about = {**first, "name": "ensemble", "members": described}
    (folder / "model.json").write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    package.copy_code(folder)
    package.to_onnx(_mean([weights.load(member) for member in members]), first["input"], folder)


def _mean(networks: Sequence[nn.Module]) -> nn.Module:
    import torch
    from torch import nn

    class Mean(nn.Module):
        """Maps images to the mean of the members' probabilities."""

        def __init__(self) -> None:
            super().__init__()
            self.members = nn.ModuleList([package.with_softmax(network) for network in networks])

        def forward(self, images: Any) -> Any:
            return torch.stack([member(images) for member in self.members]).mean(dim=0)

    return Mean().eval()
