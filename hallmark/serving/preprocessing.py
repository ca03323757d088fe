"""Preprocessing in guarded processes: encoded images in, the network's input pixels out."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from hallmark.images.guard import Ended, Guarded, Limits
from hallmark.serving.classifier import Preprocessor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

BOMB = "cannot be decoded: decompression_bomb: it needs more than {} MiB of memory"
LATE = "cannot be decoded: corrupt: it takes longer than {:g} seconds"
CRASH = "cannot be decoded: corrupt: it crashes the decoder"


def process(files: Mapping[str, bytes], limits: Limits) -> Guarded:
    """A guarded process, not yet started, that runs the preprocessing of the package of these files."""
    small = {name: data for name, data in files.items() if name != "model.onnx"}
    return Guarded(limits, _begin, small, limits)


def prepared(guarded: Guarded, data: bytes, limits: Limits, *, seconds: float | None = None) -> NDArray[np.uint8]:
    """Pixels uint8 [height, width, channels]. Raises ValueError for a bad image, MachineError as :class:`Guarded`."""
    try:
        pixels: NDArray[np.uint8] = guarded.ask(data, seconds=seconds)
    except Ended as error:
        with contextlib.suppress(Ended):  # kill() was called
            guarded.start()  # ready for the next image
        most = limits.seconds if seconds is None else min(seconds, limits.seconds)
        raise ValueError(LATE.format(round(most, 1)) if error.late else CRASH) from error
    return pixels


def await_start(guarded: Guarded, limits: Limits) -> None:
    """Waits until the process answers. Raises MachineError if it does not start."""
    with contextlib.suppress(ValueError):  # the error for an empty file
        prepared(guarded, b"", limits)


def _begin(files: Mapping[str, bytes], limits: Limits) -> Callable[[bytes], Any]:
    """The preprocessing function, inside the guarded process."""
    preprocess = Preprocessor(files, max_pixels=limits.max_pixels)

    def guarded(data: bytes) -> Any:
        try:
            return preprocess(data)
        except MemoryError:
            raise ValueError(BOMB.format(limits.memory_mib)) from None

    return guarded
