"""Whether there are enough groups for each split, and how far a test set of few groups can be trusted."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hallmark.contracts.errors import GateRefused

if TYPE_CHECKING:
    import pandas as pd

FEW = 5  # groups in test: with fewer, a figure says little about the next group


def refuse_too_few(images: pd.DataFrame, *, splits: int) -> None:
    """Raises GateRefused if groups leave a split empty, or leave test without a second class that train has too.

    ``images`` has the columns label, group and unit; ``splits`` is the number of splits with a share above 0. Images
    without groups are not judged here: there, each image beyond its duplicates is a unit.
    """
    groups = int(images["group"].nunique())
    if groups == 0 or splits < 2:
        return
    units = int(images["unit"].nunique())
    if units < splits:
        raise GateRefused(
            f"split: the images form {units} groups that must stay whole (groups and duplicates of them), too few for "
            f"{splits} splits",
            remedy=f"add images of at least {splits - units} more groups, or set split.val or split.test to 0",
        )
    per_class = images.groupby("label")["unit"].nunique()
    if len(per_class) > 1 and int((per_class >= 2).sum()) < 2:
        listed = ", ".join(f"'{name}' {count}" for name, count in per_class.head(8).items())
        raise GateRefused(
            f"split: groups stay whole, and fewer than two classes are in two groups or more (groups per class: "
            f"{listed}), so no test set can hold two classes that train holds too",
            remedy=f"add images so that each class is in at least {splits} groups, or correct the column group",
        )


def warnings(images: pd.DataFrame, *, shares: dict[str, float]) -> list[str]:
    """Sentences about splits of few groups; ``images`` has the columns label, group, unit and split.

    ``shares`` are the requested ones by split.
    """
    if images["group"].nunique() == 0:
        return []
    found = []
    wanted = sum(share > 0 for share in shares.values())
    per_class = images.groupby("label")["unit"].nunique()
    short = per_class[per_class < wanted]
    if len(short):
        listed = ", ".join(f"'{name}' ({count})" for name, count in short.head(8).items())
        more = f" and {len(short) - 8} more" if len(short) > 8 else ""
        found.append(
            f"Too few groups to have {listed}{more} in each split: a class needs {wanted} groups, which stay whole."
        )
    test = images[images["split"] == "test"]
    tested = int(test["unit"].nunique())
    if 0 < tested < FEW and shares["test"] > 0:
        share = len(test) / len(images)
        needed = math.ceil(FEW / shares["test"])
        found.append(
            f"The test set holds {tested} of {images['unit'].nunique()} groups ({share:.0%} of the images), so its "
            f"figures say little about a new group. About {needed} groups would put {FEW} into test; hallmark crossval "
            "holds out each group of the other splits once."
        )
    return found
