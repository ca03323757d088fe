"""Image features of a trained network: the input of its last layer, computed once for each image.

The images are resized to the network's side and channels, and normalised by its own preprocessing. The features lie in
.hallmark/cache/features/, in a file named by what they follow from (the network, the decoder, the runtime), by the
image's content.
On a CPU, ONNX Runtime computes our own networks; its results do not depend on the other images of a batch.
"""

from __future__ import annotations

import functools
import hashlib
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from hallmark.contracts import progress, runtime
from hallmark.images import decoding
from hallmark.models import feature_store, onnx_export, transfer
from hallmark.models.backbone import architecture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from hallmark.models.backbone import Backbone

    Pixels = NDArray[np.uint8]
    Features = NDArray[np.float32]
    Compute = Callable[[Pixels], Features]  # [batch, height, width, channels] -> [batch, features]

_BATCH = 32
_SAVED = 2048  # images after which the cache is written


def cached(
    backbone: Backbone,
    digests: Sequence[str],
    load: Callable[[list[int]], Iterable[Pixels]],
    *,
    bits: int,
    device: torch.device,
) -> Features:
    """Features float32 ``[images, features]`` of the images with these content digests, at least one.

    ``load`` gives the pixels of the images at these positions, uint8 ``[side, side, channels]`` (see :func:`prepared`);
    it is asked for the missing ones alone. ``bits`` as in :func:`hallmark.images.decoding.decode`. Raises InputError if
    the backbone is broken.
    """
    path = runtime.state() / "cache" / "features" / f"{_key(backbone, bits, device)}.sqlite"
    known = feature_store.read(path, list(dict.fromkeys(digests)))
    missing = {digest: index for index, digest in enumerate(digests) if digest not in known}
    if missing:
        compute, names = _compute(backbone, device), list(missing)
        pixels = iter(load(list(missing.values())))
        for start in range(0, len(names), _SAVED):
            part = names[start : start + _SAVED]
            values = np.concatenate(list(_batches(compute, islice(pixels, len(part)), before=start)))
            feature_store.write(path, part, values)
            known |= zip(part, values, strict=True)
    return np.stack([known[digest] for digest in digests])


def prepared(backbone: Backbone, images: Iterable[bytes], *, bits: int, workers: int) -> Iterator[Pixels]:
    """Encoded images as the network takes them: uint8 ``[side, side, channels]``."""
    one = functools.partial(
        decoding.prepare, height=backbone.side, width=backbone.side, channels=backbone.channels, bits=bits
    )
    stream = iter(images)
    with ThreadPoolExecutor(workers) as pool:
        while group := list(islice(stream, _BATCH)):
            yield from pool.map(one, group)


def _batches(compute: Compute, pixels: Iterator[Pixels], *, before: int) -> Iterator[Features]:
    done = before
    while batch := list(islice(pixels, _BATCH)):
        yield compute(np.stack(batch))
        done += len(batch)
        progress.report("computing features", done)


def _key(backbone: Backbone, bits: int, device: torch.device) -> str:
    network = _description(backbone)
    maker = f"onnxruntime {version('onnxruntime')}" if _by_runtime(backbone, device) else f"{device.type} torch"
    parts = (
        f"{backbone.digest} {network['name']} {network['arguments']} {network['input']} {bits} {maker}",
        f"pillow {version('pillow')} torch {torch.__version__}",
        hashlib.sha256(Path(decoding.__file__).read_bytes()).hexdigest(),
    )
    return hashlib.blake2b(" ".join(parts).encode(), digest_size=16).hexdigest()


def _by_runtime(backbone: Backbone, device: torch.device) -> bool:
    return device.type == "cpu" and backbone.description is not None


def _compute(backbone: Backbone, device: torch.device) -> Compute:
    network = transfer.initial(backbone, _description(backbone), seed=0).eval()
    transfer.without_head(network)
    return _by_onnx(network, backbone) if _by_runtime(backbone, device) else _by_torch(network, device)


def _by_onnx(network: nn.Module, backbone: Backbone) -> Compute:
    import tempfile

    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = runtime.workers()
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "features.onnx"
        example = torch.zeros(2, backbone.channels, backbone.side, backbone.side)
        onnx_export.write(network, example, path, output="features")
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def compute(pixels: Pixels) -> Features:
        planes = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)).astype(np.float32) / np.float32(255)
        values: Features = session.run(None, {"images": planes})[0].reshape(len(pixels), -1)
        return values

    return compute


def _by_torch(network: nn.Module, device: torch.device) -> Compute:
    network = network.to(device)

    def compute(pixels: Pixels) -> Features:
        planes = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float().div_(255)
        with torch.inference_mode():
            values: Features = network(planes).flatten(1).float().cpu().numpy()
        return values

    return compute


def _description(backbone: Backbone) -> dict[str, Any]:
    classes = backbone.description["classes"] if backbone.description is not None else ["one", "two"]
    name, arguments = architecture(backbone, backbone.side)
    return {
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
