"""A packaged classifier: images as bytes in, one probability per class out.

This very file travels inside each package, beside the decoder that training used, so it imports nothing of Hallmark:
only the standard library, NumPy and ONNX Runtime. A package is a folder of ``model.onnx`` (float32 images in [0, 1]
``[batch, channels, height, width]`` to probabilities ``[batch, classes]``), ``model.json``, ``model.safetensors`` (the
same weights, for PyTorch), ``decoding.py`` and ``classifier.py``.
"""

from __future__ import annotations

import hashlib
import json
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import ModuleType

    from numpy.typing import NDArray

BATCH = 64


class Classifier:
    """The classifier of a package folder."""

    def __init__(self, folder: Path) -> None:
        import onnxruntime

        self.description: dict[str, Any] = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        self.classes: list[str] = list(self.description["classes"])
        self._decoding = load_module(folder / "decoding.py")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors only: its warnings are about the graph, not about the images
        self._session = onnxruntime.InferenceSession(
            folder / "model.onnx", sess_options=options, providers=["CPUExecutionProvider"]
        )

    def probabilities(self, images: Sequence[bytes]) -> NDArray[np.float64]:
        """Probabilities [n, classes] of encoded images; ValueError names the first that cannot be decoded."""
        out = np.zeros((len(images), len(self.classes)), dtype=np.float64)
        for start in range(0, len(images), BATCH):
            pixels = [self._prepare(data, start + place) for place, data in enumerate(images[start : start + BATCH])]
            batch = np.stack(pixels).transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
            out[start : start + BATCH] = self._session.run(None, {"images": batch})[0]
        return out

    def labels(self, probabilities: NDArray[np.float64]) -> list[str]:
        """The most probable class of each row."""
        return [self.classes[place] for place in probabilities.argmax(axis=1)]

    def _prepare(self, data: bytes, place: int) -> NDArray[np.uint8]:
        shape = self.description["input"]
        try:
            pixels: NDArray[np.uint8] = self._decoding.prepare(
                bytes(data), shape["height"], shape["width"], shape["channels"], bits=shape.get("bits", 16)
            )
        except self._decoding.Undecodable as error:
            raise ValueError(f"image {place} cannot be decoded: {error}") from error
        return pixels


class _Unwritten(SourceFileLoader):
    """Leaves no bytecode in the package, which may be read-only and must stay what was registered."""

    def set_data(self, path: str, data: Any, *, _mode: int = 0o666) -> None:
        del path, data, _mode


def load_module(path: Path) -> ModuleType:
    """The module of a file, under a name of its content: packages of two versions live side by side."""
    name = f"_hallmark_{path.stem}_{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_loader(name, _Unwritten(name, str(path)))
    assert spec is not None, path
    assert spec.loader is not None, path
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
