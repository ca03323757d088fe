"""A network of the transformers library, built from its configuration without files or a connection.

[batch, channels, height, width], normalised by its own preprocessing -> logits [batch, classes]
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from hallmark.contracts.errors import InputError
from hallmark.models.hub import missing_extra

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Pretrained(nn.Module):
    """Images in, logits out: drops the other outputs of the library's network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(pixel_values=images).logits
        return logits

    @property
    def base(self) -> str:
        """The attribute of ``network`` that holds the network without its head."""
        return str(self.network.base_model_prefix)


def pretrained(*, classes: int, height: int, width: int, channels: int, config: Mapping[str, Any]) -> nn.Module:
    """The image classifier of a configuration (transformers' config.json), with random weights."""
    assert height == width, "backbones need square images"
    assert config.get("num_channels", channels) == channels, "channels must match the configuration"
    classifier, settings = kind_of(config, num_labels=classes)
    with quiet():
        network = classifier._from_config(settings)
    if not hasattr(network, network.base_model_prefix):
        raise InputError(
            f"the backbone is of type '{config['model_type']}', whose head cannot be separated from its body",
            remedy="choose a backbone such as vit, deit, dinov2, swin, resnet, convnext or mobilenet_v2",
        )
    return Pretrained(network.float())


def kind_of(config: Mapping[str, Any], **changes: Any) -> tuple[Any, Any]:
    """The class of image classifiers for a configuration, and the configuration as the library's object."""
    try:
        with quiet():
            from transformers import CONFIG_MAPPING, MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING
    except ImportError as error:
        raise missing_extra() from error
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind == "timm_wrapper" or kind not in CONFIG_MAPPING:
        raise InputError(
            f"the backbone is of type '{kind}', which transformers cannot build by itself",
            remedy="choose a backbone of transformers' own, such as vit, dinov2, resnet or convnext",
        )
    settings = CONFIG_MAPPING[kind].from_dict({**config, **changes})
    if type(settings) not in MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING:
        raise InputError(
            f"the backbone is of type '{kind}', which classifies no images",
            remedy="choose one that does, such as vit, dinov2, resnet or convnext",
        )
    classifiers = MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING[type(settings)]
    return (classifiers[0] if isinstance(classifiers, tuple) else classifiers), settings


@contextmanager
def quiet() -> Iterator[None]:
    """Silences transformers, which logs each newly drawn layer and an optional torchvision."""
    logger = logging.getLogger("transformers")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        from transformers.utils import logging as transformers_logging

        chatter: Any = transformers_logging

        bars = chatter.is_progress_bar_enabled()
        chatter.disable_progress_bar()
        try:
            yield
        finally:
            if bars:
                chatter.enable_progress_bar()
    finally:
        logger.setLevel(before)
