"""The gate of a whole set, after its rows are judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hallmark.contracts.reasons import having

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class SetGate:
    """``too_small``: rows quarantined with their class; ``refused``: why the set is refused, empty if it is not.

    ``remedies``: distinct remedies for the refusals.
    """

    share: float
    small_classes: dict[str, int]
    too_small: NDArray[np.bool_]
    refused: list[str]
    remedies: tuple[str, ...]


def split_folders(path: pd.Series, given_split: pd.Series) -> pd.Series:
    """The folder and given split of each row, missing if the source gives no split.

    >>> import pandas as pd
    >>> paths = pd.Series(["test/1.png", "a/2.png"], dtype="string")
    >>> split_folders(paths, pd.Series(["test", pd.NA], dtype="string")).tolist()
    ['test:test', <NA>]
    """
    return given_split.astype("string") + ":" + path.astype("string").str.rpartition("/")[0].astype("string")


def judge(
    label: pd.Series,
    reasons: pd.Series,
    folder: pd.Series,
    quarantined: NDArray[np.bool_],
    *,
    max_quarantine_share: float,
    min_images_per_class: int,
    quarantine_small: bool,
    refusals: list[str],
) -> SetGate:
    """Judges the set by its rows' labels, reasons and fates.

    ``folder`` is the source's split folder of each row, missing if there is none. The share of quarantined files
    ignores stray files, split folders without any label (a competition's test set), and rows quarantined because their
    class is small, which is a separate rule.
    """
    labelled = label.notna().groupby(folder).transform("any").reindex(label.index).fillna(True).to_numpy(bool)
    stray = having(reasons, ["stray_file"]) | (having(reasons, ["unlabelled"]) & ~labelled)
    files, bad = int((~stray).sum()), int((quarantined & ~stray).sum())
    share = bad / files if files else 1.0
    usable = label[~quarantined].value_counts()
    every = sorted(set(label[~stray].dropna()))
    small = {str(name): int(usable.get(name, 0)) for name in every if usable.get(name, 0) < min_images_per_class}
    too_small = (label.isin(list(small)).to_numpy() & ~quarantined) if quarantine_small else np.zeros(len(label), bool)

    refused, remedies = list(refusals), []
    if refusals:
        remedies.append("correct the set, or relax the suite if it is too strict")
    if bad == files:
        refused.append(f"none of {files} files is a usable image")
        remedies.append("check that ingest.source is the folder of the images")
    else:
        if share > max_quarantine_share:
            refused.append(
                f"{bad} of {files} files ({share:.1%}) are quarantined, more than validate.max_quarantine_share "
                f"({max_quarantine_share:.1%})"
            )
            remedies.append("repair the files named in the ledger, or raise validate.max_quarantine_share")
        if small and not quarantine_small:
            named = ", ".join(f"'{name}' {count}" for name, count in small.items())
            refused.append(f"classes below validate.min_images_per_class ({min_images_per_class}): {named}")
            remedies.append("add images, lower the bound, or set validate.on_small_class to quarantine")
        left = [name for name in every if name not in small]
        if len(left) < 2:
            refused.append(
                f"{len(left)} of {len(every)} classes have {min_images_per_class} usable images or more "
                "(validate.min_images_per_class), and a classifier needs two"
            )
            remedies.append("put each class into its own folder below ingest.source, with enough images in each")
    return SetGate(
        share=share,
        small_classes=small,
        too_small=too_small,
        refused=refused,
        remedies=tuple(dict.fromkeys(remedies)),
    )
