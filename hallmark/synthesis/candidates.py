"""The candidates for the gates: drawn by a generator fitted on the training images, or read from a folder."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hallmark.contracts import runtime
from hallmark.contracts.seeds import derive
from hallmark.synthesis.presets import PRESETS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hallmark.synthesis.assay import Real
    from hallmark.synthesis.generator import Generator, Images, Labels


def drawn(generator: Generator, wanted: Mapping[int, int], *, surplus: float, seed: int) -> tuple[Images, Labels]:
    """``surplus`` times the ``wanted`` images of each class: uint8 [n, h, w, c], and their classes [n]."""
    counts = [math.ceil(surplus * wanted[label]) for label in sorted(wanted)]
    labels = np.repeat(np.array(sorted(wanted), dtype=np.int64), counts)
    return generator(labels, seed=derive(seed, "synthesize", "candidates")), labels


def fitted(train: Real, *, name: str, preset: str, guidance: float, classes: int, seed: int) -> Generator:
    """The generator of that name, fitted; an interrupted training resumes from ``.hallmark/checkpoints``."""
    if name == "latent_mixup":
        from hallmark.synthesis.mixing import LatentMixup

        return LatentMixup(train.images, train.labels)
    from hallmark.learning.checkpoints import Checkpoints, key_of
    from hallmark.pipeline import closure
    from hallmark.synthesis import parallel, training

    height, width = train.images.shape[1:3]
    machine = parallel.machine()
    settings = PRESETS[preset]
    values = {
        "images": training.digest(train.images, train.labels),
        "preset": repr(settings),
        "classes": classes,
        "seed": seed,
        **machine.facts(),
    }
    key = f"synthesize-{key_of(values, [], code=closure.digest_of(['hallmark.synthesis.training']))}"
    return training.train(
        train.images,
        train.labels,
        classes=classes,
        preset=settings,
        steps=settings.steps_for(height, width),
        guidance=guidance,
        seed=seed,
        checkpoints=Checkpoints(runtime.state() / "checkpoints", key),
        machine=machine,
    )


def read(
    folder: str, *, names: Sequence[str], wanted: Mapping[int, int], shape: tuple[int, int, int]
) -> tuple[Images, Labels]:
    """The images of the wanted classes in a folder of class folders."""
    from hallmark.synthesis import external

    return external.read(Path(folder), names=names, wanted=[names[label] for label in wanted], shape=shape)
