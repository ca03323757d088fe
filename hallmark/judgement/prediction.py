"""Prediction: the only inference loop of evaluation, over batches as they are decoded."""

from __future__ import annotations

import functools
import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from einops import rearrange

from hallmark.contracts import progress, runtime
from hallmark.images.decoding import prepare

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from hallmark.images.shards import Reader
    from hallmark.judgement.robustness import Perturbation


def batches(
    encoded: Iterable[bytes], *, height: int, width: int, channels: int, size: int, bits: int = 16
) -> Iterator[NDArray[np.uint8]]:
    """Decoded batches [b, height, width, channels] in order, at most ``size`` images each.

    ``bits`` as in :func:`hallmark.images.decoding.decode`.
    """
    one = functools.partial(prepare, height=height, width=width, channels=channels, bits=bits)
    stream = iter(encoded)
    with ThreadPoolExecutor(runtime.workers()) as pool:
        while chunk := list(itertools.islice(stream, size)):
            yield np.stack(list(pool.map(one, chunk)))


def of_stored(
    network: torch.nn.Module,
    reader: Reader,
    images: pd.DataFrame,
    shape: Mapping[str, int],
    *,
    size: int,
    perturbations: Sequence[Perturbation] = (),
) -> list[NDArray[np.float64]]:
    """:func:`predict` on the images stored at ``shard`` and ``row``, ``size`` at a time.

    ``shape`` is the network's input: ``height width channels``, and ``bits`` if the images have fewer than 16.
    """
    encoded = reader.rows(list(zip(images["shard"].tolist(), images["row"].tolist(), strict=True)))
    height, width, channels = (shape[name] for name in ("height", "width", "channels"))
    decoded = batches(encoded, height=height, width=width, channels=channels, size=size, bits=shape.get("bits", 16))
    return predict(network, decoded, perturbations)


def predict(
    network: torch.nn.Module,
    images: Iterable[NDArray[np.uint8]],
    perturbations: Sequence[Perturbation] = (),
) -> list[NDArray[np.float64]]:
    """Logits [n, classes] of the original images, then of the images under each perturbation.

    Decodes each batch once. Uses full precision and deterministic kernels on every device.
    """
    device = _device()
    network = network.to(device).eval()
    logits: list[list[NDArray[np.float64]]] = [[] for _ in range(1 + len(perturbations))]
    done = 0
    deterministic = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with torch.inference_mode(), deterministic:
        for batch in images:
            logits[0].append(_logits(network, np.divide(batch, 255, dtype=np.float32), device))
            for position, perturbation in enumerate(perturbations, start=1):
                logits[position].append(_logits(network, perturbation.apply(batch, done), device))
            done += len(batch)
            progress.report("predicting", done)
    return [np.concatenate(parts) for parts in logits]


def _logits(network: torch.nn.Module, batch: NDArray[np.float32], device: torch.device) -> NDArray[np.float64]:
    tensor = torch.from_numpy(np.ascontiguousarray(rearrange(batch, "b h w c -> b c h w"))).to(device)
    logits: Any = network(tensor)
    return np.asarray(logits.float().cpu().numpy(), dtype=np.float64)


def _device() -> torch.device:
    name = runtime.device()
    if name != "auto":
        return torch.device(name)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
