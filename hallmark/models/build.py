"""Networks by name.

>>> network = build("mlp", classes=10, height=8, width=8, channels=1, mean=[0.3], std=[0.4], seed=0, depth=1)
>>> sum(parameter.numel() for parameter in network.parameters())
9738
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hallmark.contracts import require
from hallmark.contracts.errors import InputError
from hallmark.models import layers
from hallmark.models.cnn import cnn
from hallmark.models.convnext import convnext
from hallmark.models.efficientnet_lite import efficientnet_lite
from hallmark.models.mlp import mlp
from hallmark.models.params import LITE, PRETRAINED
from hallmark.models.perceptron import perceptron
from hallmark.models.pretrained import pretrained
from hallmark.models.resnet import resnet
from hallmark.models.vit import vit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MODELS: dict[str, Callable[..., nn.Module]] = {
    "perceptron": perceptron,
    "mlp": mlp,
    "cnn": cnn,
    "resnet": resnet,
    "convnext": convnext,
    "vit": vit,
    LITE: efficientnet_lite,
    PRETRAINED: pretrained,
}


class Classifier(nn.Module):
    """Images [batch, channels, height, width], float32 in [0, 1], to logits [batch, classes]."""

    def __init__(self, normalise: layers.Normalise, body: nn.Module) -> None:
        super().__init__()
        self.normalise = normalise
        self.body = body

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.body(self.normalise(images))
        return logits


def build(
    name: str,
    *,
    classes: int,
    height: int,
    width: int,
    channels: int,
    mean: Sequence[float],
    std: Sequence[float],
    seed: int = 0,
    **arguments: Any,
) -> nn.Module:
    """The network ``name`` with weights drawn from ``seed``; leaves torch's default generator unchanged.

    ``mean`` and ``std`` are per channel, of pixels in [0, 1]. Raises InputError for an unknown name or argument.
    """
    require.one_of(MODELS, name=name)
    assert len(mean) == len(std) == channels, "mean and std need one value per channel"
    accepted = inspect.signature(MODELS[name]).parameters
    unknown = sorted(set(arguments) - set(accepted))
    if unknown:
        raise InputError(
            f"the network {name} does not take {', '.join(unknown)}", remedy=f"it takes {', '.join(sorted(accepted))}"
        )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        body = MODELS[name](classes=classes, height=height, width=width, channels=channels, **arguments)
    return Classifier(layers.Normalise(mean, std), body)
