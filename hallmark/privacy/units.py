"""The unit of privacy: one image, or one group of images such as a patient.

What a unit is must depend on its own data alone. An image's key is the keyed BLAKE2b hash of its decoded pixels, so
exact copies are one unit; a group's is that of its name. Near copies have keys of their own, because a cluster of near
copies would depend on other images: they count as different units, which the statement says.

>>> rows = chosen(["k1", "k2", "k1"], paths=["b.png", "c.png", "a.png"], cap=1, seed=0)
>>> [int(row) for row in rows]
[1, 2]
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def image_key(pixels: NDArray[np.generic], *, seed: int) -> str:
    """The key of an image from its decoded pixels of any shape and type, which the key covers too."""
    header = f"{pixels.dtype.str} {' '.join(map(str, pixels.shape))}\0".encode()
    return _keyed(b"image", header, np.ascontiguousarray(pixels).tobytes(), seed=seed)


def group_key(name: str, *, seed: int) -> str:
    """The key of a group from its name."""
    return _keyed(b"group", name.encode(), seed=seed)


def chosen(units: Sequence[str], *, paths: Sequence[str], cap: int, seed: int) -> NDArray[np.int64]:
    """Rows of the images that represent their unit, in increasing order: at most ``cap`` a unit.

    Of a unit of copies (``cap`` 1) the first path stands for it. A larger unit keeps the images whose paths hash
    lowest, so that names do not decide which images of a group are seen.
    """
    assert len(units) == len(paths), (len(units), len(paths))
    assert cap >= 1, cap
    members: defaultdict[str, list[int]] = defaultdict(list)
    for row, unit in enumerate(units):
        members[unit].append(row)
    kept = []
    for rows in members.values():
        order = (lambda row: paths[row]) if cap == 1 else (lambda row: _keyed(b"path", paths[row].encode(), seed=seed))
        kept += sorted(rows, key=order)[:cap]
    return np.array(sorted(kept), dtype=np.int64)


def _keyed(kind: bytes, *parts: bytes, seed: int) -> str:
    digest = hashlib.blake2b(key=seed.to_bytes(8, "big", signed=True), person=kind, digest_size=32)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
