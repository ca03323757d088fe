"""The generator protocol: a model fitted on training images that draws images of a class.

Images are uint8 [n, height, width, channels] with 1 or 3 channels, labels int64 [n] numbering the classes from 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Images = NDArray[np.uint8]
    Labels = NDArray[np.int64]


class Generator(Protocol):
    """Draws images of given classes."""

    def __call__(self, labels: Labels, *, seed: int) -> Images:
        """One image per label; equal labels and seed give equal images."""
