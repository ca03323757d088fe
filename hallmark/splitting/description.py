"""Columns that split adds to each image: its cluster's size and representative, and the resulting reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hallmark.contracts.names import SPLITS
from hallmark.contracts.reasons import counts, join_reasons

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


def describe(images: pd.DataFrame, leaks: NDArray[np.bool_]) -> None:
    """Adds cluster_size, representative and reasons.

    The representative is the most held-out image of a cluster, then the largest, then the first by path: if leaks are
    only reported, the training copy gets the reason.
    """
    by_cluster = images.groupby("cluster")
    images["cluster_size"] = by_cluster["path"].transform("size")
    order = images.assign(
        held=-images["split"].map({name: rank for rank, name in enumerate(SPLITS)}),
        area=-images["width"].astype("int64") * images["height"],
    ).sort_values(["cluster", "held", "area", "path"])
    images["representative"] = ~order["cluster"].duplicated().reindex(images.index)
    copy = order.duplicated(["cluster", "pixel_hash"]).reindex(images.index)
    conflicting = by_cluster["label"].transform("nunique") > 1
    images["reasons"] = [
        join_reasons(
            {
                reason
                for reason, holds in (
                    ("split_leak", leak),
                    ("exact_duplicate", not first and exact),
                    ("near_duplicate", not first and not exact),
                    ("conflicting_duplicate", conflict),
                )
                if holds
            }
        )
        for leak, first, exact, conflict in zip(leaks, images["representative"], copy, conflicting, strict=True)
    ]


def per_class(images: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Images of each class, in the order of their names, in each split."""
    counted = images.groupby(["label", "split"]).size()
    return {
        str(label): {name: int(counted.get((label, name), 0)) for name in SPLITS}
        for label in sorted(images["label"].unique())
    }


def clusters(images: pd.DataFrame) -> dict[str, int]:
    """Counts of the clusters of two or more images by kind, and of the images in them."""
    several = images[images["cluster_size"] > 1]
    contents = several.groupby("cluster")["pixel_hash"].nunique()
    labels = several.groupby("cluster")["label"].nunique()
    by_reason = counts(several["reasons"])
    return {
        "exact_clusters": int((contents == 1).sum()),
        "near_clusters": int((contents > 1).sum()),
        "conflicting_clusters": int((labels > 1).sum()),
        "images": len(several),
        "exact_duplicates": by_reason.get("exact_duplicate", 0),
        "near_duplicates": by_reason.get("near_duplicate", 0),
        "conflicting_duplicates": by_reason.get("conflicting_duplicate", 0),
    }
