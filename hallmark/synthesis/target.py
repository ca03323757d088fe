"""The number of synthetic images to make per class."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hallmark.contracts import require
from hallmark.contracts.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Want:
    """One class: its real images, the number to make, and a note on what limits it."""

    label: str
    real: int
    wanted: int
    note: str


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """How many images to make of which classes; a stage's section of params.yaml holds these values beside its own.

    See :func:`of_classes`; ``target`` off makes none.
    """

    target: str | bool | dict[str, int]  # YAML reads a bare `off` as false
    classes: str | list[str]
    rare_below: float
    most_per_real: float
    min_real: int

    def __post_init__(self) -> None:
        count = 'give "off", median, or images for each class'
        require.that(self.target is not True, "is true", remedy=count, field="target")
        if isinstance(self.target, str):
            require.one_of(("off", "median"), target=self.target)
        elif isinstance(self.target, dict):
            require.at_least(1, target=self.target)
        if isinstance(self.classes, str):
            require.one_of(("rarest", "all"), classes=self.classes)
        require.in_range(0.0, 1.0, rare_below=self.rare_below)
        require.positive(most_per_real=self.most_per_real)
        require.at_least(2, min_real=self.min_real)

    @property
    def requested(self) -> str | dict[str, int]:
        """``target`` without its spelling as false."""
        return "off" if isinstance(self.target, bool) else self.target

    def wants(self, labels: pd.Series) -> list[Want]:
        """:func:`of_classes` for the labels of the training images, none if the target is off."""
        if self.requested == "off":
            return []
        return of_classes(
            {str(label): int(count) for label, count in labels.value_counts().items()},
            target=self.requested,
            classes=self.classes,
            rare_below=self.rare_below,
            most_per_real=self.most_per_real,
            min_real=self.min_real,
        )


def of_classes(
    counts: Mapping[str, int],
    *,
    target: str | Mapping[str, int],
    classes: str | Sequence[str],
    rare_below: float,
    most_per_real: float,
    min_real: int,
) -> list[Want]:
    """The images to make for each targeted class below its goal, in label order.

    ``target`` is ``median`` (of the class counts) or the goal per class, real plus synthetic. ``classes`` limits
    ``median`` to the ``rarest`` (below ``rare_below`` times the median) or to named classes; ``all`` does not. A class
    gets at most ``most_per_real`` images per real one, and none if it has fewer than ``min_real``.

    >>> of_classes({"a": 100, "b": 90, "c": 30}, target="median", classes="rarest", rare_below=0.5, most_per_real=1.0,
    ...            min_real=10)
    [Want(label='c', real=30, wanted=30, note='at most 1 for each real image')]

    Raises InputError for a class that does not exist.
    """
    named = list(target) if not isinstance(target, str) else [] if isinstance(classes, str) else list(classes)
    unknown = sorted(set(named) - set(counts))
    if unknown:
        key = "target" if not isinstance(target, str) else "classes"
        raise InputError(
            f"the training images have no class {', '.join(unknown)}",
            remedy=f"name some of: {', '.join(sorted(counts))}",
            field=key,
        )
    median = statistics.median(counts.values())
    out = []
    for label in sorted(counts):
        real = counts[label]
        if not isinstance(target, str):
            goal = target.get(label, 0)
        elif classes == "rarest":
            goal = round(median) if real < rare_below * median else 0
        else:
            goal = round(median) if classes == "all" or label in classes else 0
        wanted, note = goal - real, ""
        if wanted <= 0:
            continue
        if real < min_real:
            wanted, note = 0, f"fewer than {min_real} real images"
        elif wanted > most_per_real * real:
            wanted, note = math.floor(most_per_real * real), f"at most {most_per_real:g} for each real image"
        out.append(Want(label=label, real=real, wanted=wanted, note=note))
    return out
