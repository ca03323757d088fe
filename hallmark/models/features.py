"""Image features of a trained network: the input of its last layer, for comparing images.

Images are resized to the network's side and channels, and normalised by its own preprocessing.
"""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hallmark.contracts import progress
from hallmark.images.decoding import prepare
from hallmark.models import transfer
from hallmark.models.backbone import architecture

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray
    from torch import nn

    from hallmark.models.backbone import Backbone

_BATCH = 64


def extract(
    backbone: Backbone, images: Iterable[bytes], *, bits: int = 16, device: torch.device, workers: int
) -> NDArray[np.float32]:
    """Features float32 ``[images, features]`` of one or more encoded images, in their order.

    ``bits`` as in :func:`hallmark.images.decoding.decode`. Raises InputError if the backbone is broken.
    """
    network = _network(backbone).to(device)
    captured: list[torch.Tensor] = []
    transfer.head(network).register_forward_pre_hook(
        lambda _, inputs: captured.append(inputs[0].flatten(1).float().cpu())
    )
    batches: list[NDArray[np.float32]] = []
    done = 0
    with torch.inference_mode():
        for batch in _batches(images, backbone, bits, workers):
            network(batch.to(device).float().div_(255))
            batches.append(captured.pop().numpy())
            done += len(batch)
            progress.report("computing features", done)
    return np.concatenate(batches)


def _network(backbone: Backbone) -> nn.Module:
    classes = backbone.description["classes"] if backbone.description is not None else ["one", "two"]
    name, arguments = architecture(backbone, backbone.side)
    description: dict[str, Any] = {
        "name": name,
        "classes": classes,
        "arguments": arguments,
        "input": {
            "height": backbone.side,
            "width": backbone.side,
            "channels": backbone.channels,
            "mean": list(backbone.mean),
            "std": list(backbone.std),
        },
    }
    return transfer.initial(backbone, description, seed=0).eval()


def _batches(images: Iterable[bytes], backbone: Backbone, bits: int, workers: int) -> Iterator[torch.Tensor]:
    """uint8 ``[batch, channels, side, side]``."""
    side, stream = backbone.side, iter(images)
    one = functools.partial(prepare, height=side, width=side, channels=backbone.channels, bits=bits)
    with ThreadPoolExecutor(workers) as pool:
        while group := list(islice(stream, _BATCH)):
            pixels = np.stack(list(pool.map(one, group)))
            yield torch.from_numpy(pixels).permute(0, 3, 1, 2)
