"""A registered model for Python: loaded once, it classifies files, arrays and Pillow images.

A file is decoded in a guarded process, as ``hallmark predict`` does; pixels in memory need no guard.
"""

from __future__ import annotations

import contextlib
import io
import os
from typing import TYPE_CHECKING, Any

from hallmark.contracts import runtime
from hallmark.contracts.errors import InputError
from hallmark.images.guard import Limits
from hallmark.serving import paths, scores
from hallmark.serving.classifier import Classifier
from hallmark.serving.predict import answered, rows_of
from hallmark.serving.source import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import TypeAlias

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from PIL.Image import Image as Pillow

    #: a file, folder or pattern; pixels [height, width] or [height, width, 1, 3 or 4]; or an image of Pillow
    Image: TypeAlias = str | os.PathLike[str] | NDArray[np.uint8] | Pillow

# as in params.yaml, section validate
LIMITS = Limits(max_pixels=89_478_485, seconds=20.0, memory_mib=2048)
# Pillow's modes that a PNG file holds without loss
_LOSSLESS = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
_COLOUR = ("CMYK", "YCbCr", "HSV", "LAB")
_CHANNELS = (1, 3, 4)


class Model:
    """A model of the registry, or of the train stage, ready to classify."""

    def __init__(self, uri: str, *, limits: Limits = LIMITS) -> None:
        self._source = resolve(uri)
        self._classifier = Classifier(self._source.files)
        self._limits = limits
        #: the model's name in the registry, or its folder
        self.name = self._source.name
        #: its version in the registry; None if it is not registered
        self.version = self._source.version
        #: its classes, in the order of the probabilities
        self.classes = tuple(self._classifier.classes)

    def predict(self, images: Image | Sequence[Image], *, workers: int | None = None) -> pd.DataFrame:
        """One row per image: ``path, label, probability, error``, and per class ``probability_…`` and ``calibrated_…``.

        Args:
            images: One image or several: paths of files, folders (all files below) or glob patterns; arrays of uint8
                [height, width] or [height, width, 1, 3 or 4]; images of Pillow; or an array of uint8
                [n, height, width, channels].
            workers: Processes that decode files. Default: one per core.

        A file that cannot be decoded costs only its own row: ``error`` says why, and the other columns are empty.
        ``path`` is empty for pixels in memory. ``calibrated_…`` is empty for a model without a temperature.

        Raises InputError for a value that is no image.
        """
        entries = list(_entries(images))
        files = [each for each in entries if isinstance(each, paths.Named)]
        crew = min(workers or runtime.workers(), len(files))
        stream = rows_of(self._source, files, self._limits, crew, self._classifier) if files else iter(())
        rows = [next(stream) if isinstance(each, paths.Named) else self._row(each) for each in entries]
        return scores.frame(rows, self.classes)

    def _row(self, encoded: bytes) -> dict[str, Any]:
        pixels = self._classifier.preprocess(encoded)
        return {"path": None, **answered(pixels, self._classifier, self._source.temperature)}

    def __repr__(self) -> str:
        version = "not registered" if self.version is None else f"version {self.version}"
        return f"<Model {self.name}, {version}: {', '.join(self.classes)}>"


def _entries(images: Image | Sequence[Image]) -> Iterator[paths.Named | bytes]:
    """The files to read and the pixels as PNG files, in the order of the images."""
    import numpy as np

    several = isinstance(images, list | tuple) or (isinstance(images, np.ndarray) and images.ndim == 4)
    for number, image in enumerate(images if several else [images]):  # type: ignore[arg-type]
        if isinstance(image, str | os.PathLike):
            yield from paths.expand([os.path.expanduser(os.fspath(image))])
        else:
            yield _encoded(image, f"image {number}")


def _encoded(image: Any, name: str) -> bytes:
    import numpy as np
    from PIL import Image as pillow

    if not isinstance(image, pillow.Image):
        pixels = np.asarray(image)
        channels = pixels.shape[2] if pixels.ndim == 3 else 1
        if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or channels not in _CHANNELS or not pixels.size:
            raise InputError(
                f"{name} is {type(image).__name__} of {pixels.dtype} {list(pixels.shape)}",
                remedy="give a path, a Pillow image, or uint8 pixels [height, width] or [height, width, 1, 3 or 4]",
            )
        grey = pixels.ndim == 3 and channels == 1
        image = pillow.fromarray(np.ascontiguousarray(pixels[:, :, 0] if grey else pixels))
    if image.mode in _COLOUR:
        image = image.convert("RGB")
    if image.mode not in _LOSSLESS:
        raise InputError(f"{name} is a Pillow image of mode {image.mode}", remedy="convert it to L or RGB")
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=1, exif=image.getexif())  # its orientation, as in a file
    return buffer.getvalue()


def load(uri: str, *, workspace: Path) -> Model:
    """The model of a URI, in the registry of a workspace, whose params.yaml sets the limits of decoding, if it has one.

    Raises as :func:`hallmark.serving.source.resolve`.
    """
    from hallmark.pipeline.params import read

    runtime.prepare()
    limits = LIMITS
    if (workspace / "params.yaml").is_file():
        of = read(workspace / "params.yaml").values["validate"]
        limits = Limits(max_pixels=of["max_pixels"], seconds=of["seconds_per_image"], memory_mib=of["memory_mib"])
    with contextlib.chdir(workspace):
        return Model(uri, limits=limits)
