"""The number of bits that a data set's images use of their 16-bit samples.

Cameras with 10, 12 or 14 bits write 16-bit files and rarely declare the range they use. Read as 16 bits, a 12-bit
picture keeps 16 grey levels. A single picture may just be dark, so the largest sample of the whole data set decides.
``ingest`` stores the result beside the shards; training and serving scale by the same range.

>>> of([0, 4080, 3900, 0])
Depth(bits=12, files=2, by_bits={12: 2})
>>> of([])
Depth(bits=16, files=0, by_bits={})
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

FILE = "depth.json"
LEAST, MOST = 8, 16
DARK_BITS = 3  # a picture that uses an eighth of the range
_PNG, _TIFF = b"\x89PNG\r\n\x1a\n", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNG_DEPTH = 24  # the byte that holds the bits of a sample
_JPEG2000 = (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")


@dataclass(frozen=True, kw_only=True)
class Depth:
    """``bits`` that samples are scaled by.

    ``files`` is the number of files with 16 bits a sample and no declared smaller range; ``by_bits`` counts them by the
    bits of their largest sample.
    """

    bits: int
    files: int
    by_bits: dict[int, int]

    @classmethod
    def reported(cls, report: Mapping[str, Any]) -> Self:
        """From reports/ingest.json, where the keys of ``by_bits`` are text."""
        counts = {int(bits): count for bits, count in report["by_bits"].items()}
        return cls(bits=report["bits"], files=report["files"], by_bits=counts)

    def words(self) -> str:
        """How samples are scaled, in a sentence; empty if there are no such files or they use all 16 bits.

        >>> of([4080, 4095, 3000]).words()
        '3 files of 16 bits a sample use 12 of them at most: samples from 0 to 4095 become black to white'
        """
        if not self.files or (self.bits == MOST and len(self.by_bits) == 1):
            return ""
        top = (1 << self.bits) - 1
        words = (
            f"{self.files} files of 16 bits a sample use {max(self.by_bits)} of them at most: samples from 0 to {top} "
            "become black to white"
        )
        dark = sum(count for bits, count in self.by_bits.items() if bits <= self.bits - DARK_BITS)
        if dark:
            words += f"; {dark} of them use {DARK_BITS} bits less or fewer and look dark beside the others"
        clipped = sum(count for bits, count in self.by_bits.items() if bits > self.bits)
        if clipped:
            words += f"; {clipped} of them reach above it and are clipped"
        return words


def candidate(data: bytes) -> bool:
    """Whether a file may hold more than 8 bits a sample, by its first bytes."""
    if data.startswith(_PNG):
        return data[_PNG_DEPTH : _PNG_DEPTH + 1] == b"\x10"
    return data.startswith((*_TIFF, *_JPEG2000, b"P5", b"P6"))


def of(peaks: Iterable[int], *, declared: int | None = None) -> Depth:
    """The depth of a data set, from each image's largest sample (0 for 8-bit images and those with a declared range).

    ``declared`` bits, from the user, take precedence. Without such images the depth is 16.
    """
    counts = Counter(max(LEAST, peak.bit_length()) for peak in peaks if peak > 0)
    bits = declared if declared is not None else max(counts, default=MOST)
    return Depth(bits=bits, files=counts.total(), by_bits=dict(sorted(counts.items())))


def write(folder: Path, depth: Depth) -> None:
    """Writes the depth beside the shards of a folder, if any image needs it."""
    if depth.files:
        (folder / FILE).write_text(json.dumps({"bits": depth.bits}) + "\n", encoding="utf-8")


def read(folder: Path) -> int:
    """The bits that the 16-bit samples of a folder's images use; 16 if no depth is stored."""
    path = folder / FILE
    return int(json.loads(path.read_text(encoding="utf-8"))["bits"]) if path.exists() else MOST
