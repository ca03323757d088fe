"""Compares findings with the planted truth: precision, recall and F1 per fault, average precision of a ranking."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

#: Faults that leave picture and light unchanged: such files must not be flagged for light, focus and noise.
SOUND = (
    "",
    "name",
    "nested",
    "mode",
    "format",
    "exif",
    "upper_ext",
    "ext_mismatch",
    "exact_dup",
    "near_dup",
    "conflict_dup",
    "label_flip",
)
UNREADABLE = ("zero_byte", "truncated", "corrupt", "not_an_image")
#: Reasons that quarantine by the user's own limits, whatever the quality of the picture.
BY_LIMITS = ("tiny", "aspect", "singleton_class")


@dataclass(frozen=True)
class Score:
    """Counts of one fault; precision and recall are 1 if there are no cases."""

    found: int
    wanted: int
    right: int

    @property
    def precision(self) -> float:
        return self.right / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        return self.right / self.wanted if self.wanted else 1.0

    @property
    def f1(self) -> float:
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def of_files(truth: pd.DataFrame, found: set[str], faults: tuple[str, ...], against: tuple[str, ...] = SOUND) -> Score:
    """Score of a set of files; files that carry neither ``faults`` nor one of ``against`` count neither way."""
    wanted = set(truth.loc[truth["faults"].isin(faults), "file"])
    judged = wanted | set(truth.loc[truth["faults"].isin(against), "file"])
    return Score(len(found & judged), len(wanted), len(found & wanted))


def of_pairs(truth: pd.DataFrame, groups: Iterable[Iterable[str]], *, exact: bool) -> Score:
    """Score of groups of copies, by pairs of files: those of the same pixels, or those of nearly the same.

    Pairs that are duplicates by nature (``natural_dup_group``) or of the other kind count neither way, and neither do
    pairs with a blank image: two empty images are the same image.
    """
    shown = truth[truth["faults"] != "blank"]
    kind = dict(zip(shown["file"], shown["detail"].str.contains('"how": "exact"', regex=False), strict=True))
    planted: dict[bool, set[tuple[str, str]]] = {True: set(), False: set()}
    for _, rows in shown[shown["dup_group"] != ""].groupby("dup_group"):
        for pair in itertools.combinations(sorted(rows["file"]), 2):
            planted[any(kind[file] for file in pair)].add(pair)
    nature = dict(zip(shown["file"], shown["natural_dup_group"], strict=True))
    found = {
        (a, b)
        for group in groups
        for a, b in itertools.combinations(sorted(group), 2)
        if a in nature and b in nature and not (nature[a] and nature[a] == nature[b])
    } - planted[not exact]
    return Score(len(found), len(planted[exact]), len(found & planted[exact]))


def average_precision(truth: pd.DataFrame, score: dict[str, float], fault: str) -> float:
    """Of a ranking of files by descending score; files that were not scored come last."""
    judged = truth[truth["faults"].isin((*SOUND, fault)) & (truth["expected"] != "drop")]
    wanted = (judged["faults"] == fault).to_numpy()
    values = np.array([score.get(file, -np.inf) for file in judged["file"]])
    order = np.argsort(-values, kind="stable")
    right = wanted[order]
    return float((np.cumsum(right) / np.arange(1, len(right) + 1))[right].mean()) if right.any() else 1.0
