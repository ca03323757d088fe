"""Long-tailed sources for benchmarks: few training images of some classes, equally many test images of each.

With ``ratio`` 50 the commonest class has 50 times the images of the rarest; the others follow an exponential curve (Cui
et al. 2019). Each draw also redraws which classes are rare, so that no figure depends on one class being easy. The
images are written to ``train/<class>/`` and ``test/<class>/``; the pipeline splits validation images off train (a fifth
of all images), as it would from a user's own set: the rarest classes have few of them.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from benchmarks import idx

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SETS = ("fashion_mnist", "sign_digits")
HEADS = {"fashion_mnist": 400, "sign_digits": 150}
TESTED = {"fashion_mnist": 100, "sign_digits": 50}
SIGN_SIDE = 32  # pixels to which hand signs are shrunk: at their 100 a training takes minutes
TAIL = 3  # classes


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """``counts`` are the training and validation images by class, the commonest first."""

    counts: dict[str, int]

    @property
    def tail(self) -> list[str]:
        """The rarest classes."""
        return list(self.counts)[-TAIL:]


def shares(classes: int, ratio: float) -> list[float]:
    """Images of each class, given those of the commonest, which comes first."""
    return [ratio ** (-rank / (classes - 1)) for rank in range(classes)]


def draw(name: str, data: Path, out: Path, *, seed: int, ratio: float, head: int, tested: int) -> Drawn:
    """Writes a source folder below ``out``; another seed gives other images and other rare classes."""
    random = np.random.default_rng([seed, SETS.index(name)])
    known, unseen = _sets(name, data, random)
    classes = [str(label) for label in random.permutation(sorted(known))]
    tail = shares(len(classes), ratio)
    counts = {label: max(1, round(head * share)) for label, share in zip(classes, tail, strict=True)}
    for label, count in counts.items():
        rest = unseen[label] if unseen else known[label][count:]
        if len(known[label]) < count or len(rest) < tested:
            raise SystemExit(f"{name}: class {label} has too few images for {count} to train and {tested} to test on")
        for part, images in (("train", known[label][:count]), ("test", rest[:tested])):
            folder = out / part / label
            folder.mkdir(parents=True)
            for number, image in enumerate(images):
                (folder / f"{number:04d}.png").write_bytes(idx.png(image))
    return Drawn(counts=counts)


def _sets(
    name: str, data: Path, random: np.random.Generator
) -> tuple[dict[str, list[NDArray[np.uint8]]], dict[str, list[NDArray[np.uint8]]]]:
    """Shuffled images by class: training images, and test images if the set has its own test set."""
    if name == "sign_digits":
        by_class: dict[str, list[NDArray[np.uint8]]] = {}
        with zipfile.ZipFile(data / "sign_digits.zip") as archive:
            for member in sorted(archive.namelist()):
                if member.endswith("/"):
                    continue
                with Image.open(io.BytesIO(archive.read(member))) as image:
                    small = image.convert("RGB").resize((SIGN_SIDE, SIGN_SIDE), Image.Resampling.LANCZOS)
                by_class.setdefault(member.split("/")[-2], []).append(np.asarray(small))
        return {label: _shuffled(images, random) for label, images in by_class.items()}, {}
    parts = []
    for part in ("train", "t10k"):
        images, labels = idx.read(data / name, part)
        parts.append(
            {
                str(label): [images[row, :, :, 0] for row in random.permutation(np.flatnonzero(labels == label))[:6000]]
                for label in range(10)
            }
        )
    return parts[0], parts[1]


def _shuffled(images: list[NDArray[np.uint8]], random: np.random.Generator) -> list[NDArray[np.uint8]]:
    return [images[row] for row in random.permutation(len(images))]
