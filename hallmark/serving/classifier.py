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
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

BATCH = 64
#: What a classifier reads of a package.
FILES = ("model.json", "decoding.py", "model.onnx")


class Preprocessor:
    """Encoded images to the pixels that the network sees, by the package's own decoder; without the network."""

    def __init__(self, files: Mapping[str, bytes], *, max_pixels: int | None = None) -> None:
        self._shape: dict[str, Any] = json.loads(files["model.json"])["input"]
        self._decoding = load_module("decoding.py", files["decoding.py"])
        # a package of an earlier release has neither depth nor the decoder's argument for it
        self._more = {"bits": self._shape["bits"]} if "bits" in self._shape else {}
        if max_pixels is not None:
            self._more["max_pixels"] = max_pixels

    def __call__(self, data: bytes) -> NDArray[np.uint8]:
        """uint8 [height, width, channels]; ValueError says why the image cannot be decoded."""
        shape = self._shape
        try:
            pixels: NDArray[np.uint8] = self._decoding.prepare(
                bytes(data), shape["height"], shape["width"], shape["channels"], **self._more
            )
        except self._decoding.Undecodable as error:
            raise ValueError(f"cannot be decoded: {error}") from error
        return pixels


class Classifier:
    """The classifier of a package folder, or of the contents of its :data:`FILES`."""

    def __init__(self, package: Path | Mapping[str, bytes]) -> None:
        import onnxruntime

        files = {name: (package / name).read_bytes() for name in FILES} if isinstance(package, Path) else package
        self.description: dict[str, Any] = json.loads(files["model.json"])
        self.classes: list[str] = list(self.description["classes"])
        self.preprocess = Preprocessor(files)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors only: its warnings are about the graph, not about the images
        self._session = onnxruntime.InferenceSession(
            files["model.onnx"], sess_options=options, providers=["CPUExecutionProvider"]
        )

    def probabilities(self, images: Sequence[bytes]) -> NDArray[np.float64]:
        """Probabilities [n, classes] of encoded images; ValueError names the first that cannot be decoded."""
        out = np.zeros((len(images), len(self.classes)), dtype=np.float64)
        for start in range(0, len(images), BATCH):
            pixels = [self._prepare(data, start + index) for index, data in enumerate(images[start : start + BATCH])]
            out[start : start + BATCH] = self.classify(np.stack(pixels))
        return out

    def classify(self, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Probabilities [n, classes] of preprocessed images uint8 [n, height, width, channels]."""
        batch = pixels.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
        return np.asarray(self._session.run(None, {"images": batch})[0], dtype=np.float64)

    def labels(self, probabilities: NDArray[np.float64]) -> list[str]:
        """The most probable class of each row."""
        return [self.classes[index] for index in probabilities.argmax(axis=1)]

    def _prepare(self, data: bytes, index: int) -> NDArray[np.uint8]:
        try:
            return self.preprocess(data)
        except ValueError as error:
            raise ValueError(f"image {index} {error}") from error


def load_module(file: str, source: bytes) -> ModuleType:
    """The module of a file's content, under a name of that content: packages of two versions live side by side.

    It is compiled from memory: no bytecode is left in the package, which may be read-only.
    """
    name = f"_hallmark_{file.removesuffix('.py')}_{hashlib.sha256(source).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = file
    sys.modules[name] = module
    try:
        exec(compile(source, file, "exec"), module.__dict__)  # noqa: S102  the package's own code
    except BaseException:
        del sys.modules[name]
        raise
    return module
