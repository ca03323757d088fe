"""Production of synthetic images: candidates from a generator or a folder, judged by the gates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hallmark.synthesis import candidates
from hallmark.synthesis.assay import Real, assay
from hallmark.synthesis.batch import Batch
from hallmark.transforms import sample
from hallmark.transforms.policy import build

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from hallmark.images.shards import Reader
    from hallmark.synthesis.rules import Rules
    from hallmark.synthesis.target import Want

    Shape = tuple[int, int, int]  # height, width, channels


def produce(
    reader: Reader,
    training: pd.DataFrame,
    validation: pd.DataFrame,
    *,
    wants: Sequence[Want],
    external: str | None,
    generator: str,
    preset: str,
    guidance: float,
    surplus: float,
    max_side: int,
    max_images: int,
    transforms: list[dict[str, Any]],
    rules: Rules,
    seed: int,
) -> tuple[Batch | None, Shape]:
    """Makes and judges the images of ``wants``; None if a side of the images is above ``max_side``.

    The candidates come from the folder ``external`` or, if None, from ``generator`` fitted on the training images. Both
    tables have the columns ``path label shard row``; at most ``max_images`` training images are used.
    ``transforms`` is the augmentation policy that the utility gate trains with.
    """
    names = sorted(training["label"].unique())
    training = sample.chosen(training, limit=max_images, seed=seed)
    shape = height, width, channels = sample.common_shape(reader, training, limit=2**30)
    if max(height, width) > max_side:
        return None, shape
    train, held_out = (
        Real(images=images, labels=labels)
        for images, labels in (sample.labelled(reader, rows, shape, names) for rows in (training, validation))
    )
    wanted = {names.index(want.label): want.wanted for want in wants if want.wanted}
    if external is not None:
        images, labels = candidates.read(external, names=names, wanted=wanted, shape=shape)
    else:
        fitted = candidates.fitted(
            train, name=generator, preset=preset, guidance=guidance, classes=len(names), seed=seed
        )
        images, labels = candidates.drawn(fitted, wanted, surplus=surplus, seed=seed)
    outcome = assay(
        images,
        labels,
        train=train,
        held_out=held_out,
        names=names,
        wanted=wanted,
        policy=build(transforms, height=height, width=width, channels=channels),
        rules=rules,
        seed=seed,
    )
    return Batch(images=images, labels=labels, names=names, assay=outcome, train=train), shape
