"""Exports a trained network to a package that runs without PyTorch and without this repository.

See :mod:`hallmark.serving.classifier` for the files of a package.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from hallmark.contracts import digests
from hallmark.contracts.errors import HallmarkError
from hallmark.models import onnx_export

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

TOLERANCE = 1e-4  # of a probability; rounding in 32 bits grows with the logits: 1e-5 was not enough for some
_TRAINED = ("model.safetensors", "model.json")


def digest(train: Path) -> str:
    """SHA-256 of everything an answer depends on: weights, description, and the code around the network."""
    paths = (*(train / name for name in _TRAINED), *_code())
    return digest_of({path.name: digests.of_file(path) for path in paths})


def digest_of(files: Mapping[str, str]) -> str:
    """The same digest from the SHA-256 of each file of a package, by file name."""
    return digests.of_named((name, files.get(name)) for name in (*_TRAINED, *(path.name for path in _code())))


def export(train: Path, folder: Path) -> None:
    """Writes the package of the model in ``train`` into ``folder``, which exists.

    Runs the exported and the original network on batches of 1 to 3 images. Raises HallmarkError if a probability
    differs by more than :data:`TOLERANCE`.
    """
    from hallmark.models import weights

    for name in _TRAINED:
        shutil.copyfile(train / name, folder / name)
    copy_code(folder)
    to_onnx(with_softmax(weights.load(train)), weights.describe(train)["input"], folder)


def copy_code(folder: Path) -> None:
    """Copies the code that is part of every package into ``folder``."""
    for path in _code():
        shutil.copyfile(path, folder / path.name)


def to_onnx(network: nn.Module, shape: Mapping[str, int], folder: Path) -> None:
    """Writes model.onnx of a network that maps images of ``shape`` to probabilities, and compares the two."""
    import torch

    generator = torch.Generator().manual_seed(0)
    size = (shape["channels"], shape["height"], shape["width"])
    images = [torch.rand((batch, *size), generator=generator) for batch in (2, 1, 3)]
    onnx_export.write(network, images[0], folder / "model.onnx", output="probabilities")
    _compare(network, folder / "model.onnx", images)


def _code() -> tuple[Path, ...]:
    """The code in every package: the decoder used in training, and the classifier around the network."""
    from hallmark.images import decoding
    from hallmark.serving import classifier

    return tuple(Path(str(module.__file__)) for module in (decoding, classifier))


def with_softmax(network: nn.Module) -> nn.Module:
    """The network with a softmax after its logits, in evaluation mode."""
    from torch import nn

    return nn.Sequential(network, nn.Softmax(dim=-1)).eval()


def _compare(network: nn.Module, path: Path, images: list[Tensor]) -> None:
    import onnxruntime
    import torch

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for batch in images:
        with torch.inference_mode():
            expected = network(batch)
        exported = torch.from_numpy(session.run(None, {"images": batch.numpy()})[0])
        gap = float((expected - exported).abs().max())
        if not gap <= TOLERANCE:
            raise HallmarkError(
                f"the exported network differs from the trained one by {gap:.2g} on a batch of {len(batch)}",
                remedy="this is a bug in Hallmark or the exporter: choose another model.name and report it",
            )
