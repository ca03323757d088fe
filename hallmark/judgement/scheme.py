"""Where the headline comes from: the test set (holdout), or cross-validation of all images where that is affordable."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

AUTO, HOLDOUT, CROSSVAL = SCHEMES = ("auto", "holdout", "crossval")
SMALL = 2000  # images: from here on a test set tells models apart
CHEAP = 150_000_000  # values shown in a training: epochs x images x values of an image
UNITS = 2  # units of each class in a fold


def choose(
    scheme: str, *, images: int, units: Mapping[str, int], folds: int, epochs: int, values: int
) -> tuple[str, str]:
    """``holdout`` or ``crossval``, and why.

    ``units`` counts groups and duplicate clusters by class, ``epochs`` are those of the registered model, ``values``
    the numbers of an image (height x width x channels).

    >>> choose("auto", images=400, units={"a": 40, "b": 9}, folds=5, epochs=20, values=192)
    ('holdout', "class 'b' has 9 units (groups, duplicate clusters), fewer than 10 for 5 folds")
    >>> choose("auto", images=400, units={"a": 40, "b": 10}, folds=5, epochs=20, values=192)[0]
    'crossval'
    """
    if scheme != AUTO:
        return scheme, "as set"
    if images >= SMALL:
        return HOLDOUT, f"{images} images, at least {SMALL}"
    name = min(units, key=lambda each: (units[each], each))
    if units[name] < UNITS * folds:
        return HOLDOUT, (
            f"class '{name}' has {units[name]} units (groups, duplicate clusters), fewer than {UNITS * folds} for "
            f"{folds} folds"
        )
    shown = epochs * images * values
    if shown > CHEAP:
        return HOLDOUT, (
            f"{folds} more trainings would take long ({shown / 1e6:.0f} million values shown in each, more than "
            f"{CHEAP / 1e6:.0f})"
        )
    return CROSSVAL, f"{images} images, fewer than {SMALL}, and the training is cheap"
