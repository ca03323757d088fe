"""Does a transform preserve the label? Each transform is applied to validation images and a judge classifies them.

The judge is fitted on clean training images only. *Retained* agreement is its accuracy after the transform divided by
its accuracy before, on the same images, per class and overall. The comparison is paired: with n11 images correct both
times, n10 and n01 correct only before or only after, the ratio (p11 + p01) / (p11 + p10) has a posterior under
Jeffreys' prior, which gives the interval. A Bonferroni correction over the classes keeps many classes from condemning a
harmless transform.

A transform changes labels if the upper end of the interval, of all images or of any class, is below the tolerance. With
too few correctly classified images the audit is inconclusive, and the transform stays.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hallmark.contracts import progress
from hallmark.contracts.seeds import derive
from hallmark.transforms import catalogue, verdicts
from hallmark.transforms.policy import build
from hallmark.transforms.policy_schema import leaves, replaced
from hallmark.transforms.verdicts import ALL, Rule, Verdict, unjudged

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from hallmark.transforms.catalogue import Transform

    Images = NDArray[np.uint8]  # [n, height, width, channels]
    Labels = NDArray[np.int64]
    Judging = Callable[[Images], Labels]

DRAWS = 4000

COLUMNS = {
    "position": "int32",  # of the transform in the policy, groups opened
    "transform": "string",
    "arguments": "string",  # JSON, as applied
    "strength": "float64",  # 1 is the strength in params
    "label": "string",  # "" for all images
    "images": "int32",
    "right_before": "int32",  # images the judge classifies correctly without the transform
    "right_after": "int32",
    "retained": "float64",  # right_after / right_before
    "low": "float64",
    "high": "float64",
    "finding": "string",  # keeps_label, changes_label, cannot_tell
}


def audit(
    transforms: list[Transform],
    *,
    judge: Judging,
    images: Images,
    labels: Labels,
    names: Sequence[str],
    rule: Rule,
    seed: int,
) -> tuple[list[Verdict], pd.DataFrame]:
    """A verdict for each leaf of a checked policy, and every measurement, with :data:`COLUMNS`.

    ``images`` uint8 [n, height, width, channels] are validation images, ``labels`` int64 [n] index ``names``.
    """
    if len(images) == 0:
        reason = "there are no validation images to judge"
        return [unjudged(leaf, "cannot_tell", reason) for leaf in leaves(transforms)], _frame([])
    right = judge(images) == labels
    judged, rows = [], []
    every = leaves(transforms)
    for position, leaf in enumerate(progress.counted(every, "auditing transforms", len(every), unit="transforms")):
        trial = _Trial(position, leaf, judge, images, labels, names, right, rule, seed)
        judged.append(trial.verdict())
        rows.extend(trial.rows)
    return judged, _frame(rows)


def whole(
    policy: list[Transform], *, judge: Judging, images: Images, labels: Labels, rule: Rule, seed: int
) -> dict[str, Any] | None:
    """Agreement retained by the whole policy at its own probabilities; None if the judge is never right."""
    before = judge(images) == labels
    if not before.any():
        return None
    changed = _changed(policy, images, seed, "whole")
    seed = derive(seed, "augment", "interval", "whole")
    ratio, low, high = retained(before, judge(changed) == labels, level=rule.confidence, seed=seed)
    return {"value": ratio, "interval": [low, high]}


def unaudited(transforms: list[Transform], reason: str) -> tuple[list[Verdict], pd.DataFrame]:
    """The verdicts and measurements without an audit: every transform stays."""
    return [unjudged(leaf, "not_audited", reason) for leaf in leaves(transforms)], _frame([])


def applied(verdicts: Sequence[Verdict], transforms: list[Transform]) -> list[Transform]:
    """The policy after the audit: transforms weakened or dropped as the verdicts say."""
    return replaced(transforms, [verdict.replacement for verdict in verdicts])


def retained(
    before: NDArray[np.bool_], after: NDArray[np.bool_], *, level: float, seed: int
) -> tuple[float, float, float]:
    """(ratio, low, high) of the judge's hits after and before on the same images; at least one hit before."""
    both, lost, won = int((before & after).sum()), int((before & ~after).sum()), int((~before & after).sum())
    assert both + lost > 0, "the judge classifies no untouched image correctly"
    generator = np.random.default_rng(seed)
    share = generator.standard_gamma(np.array([both, lost, won]) + 0.5, size=(DRAWS, 3))
    ratios = (share[:, 0] + share[:, 2]) / (share[:, 0] + share[:, 1])
    tail = (1 - level) / 2
    ratio = (both + won) / (both + lost)
    low, high = (float(edge) for edge in np.quantile(ratios, [tail, 1 - tail]))
    return ratio, min(low, ratio), max(high, ratio)


class _Trial:
    """The audit of one transform, at its strength and, if it changes labels, at weaker ones."""

    def __init__(
        self,
        position: int,
        leaf: Transform,
        judge: Judging,
        images: Images,
        labels: Labels,
        names: Sequence[str],
        right: NDArray[np.bool_],
        rule: Rule,
        seed: int,
    ) -> None:
        self.position, self.leaf, self.judge, self.images, self.labels = position, leaf, judge, images, labels
        self.names, self.right, self.rule, self.seed = names, right, rule, seed
        self.rows: list[dict[str, Any]] = []

    def verdict(self) -> Verdict:
        name = self.leaf["name"]
        if catalogue.CATALOGUE[name].colour and self.images.shape[3] == 1:
            return self._verdict(None, "left_out", "it changes colours, and the images are grey", [])
        rows = self._measure(1.0)
        finding = rows[0]["finding"]
        if finding == "keeps_label":
            return self._verdict(
                1.0,
                "kept",
                f"the judge is right {verdicts.percent(rows[0])} as often as on untouched images",
                rows,
            )
        if finding == "cannot_tell":
            return self._verdict(1.0, "cannot_tell", verdicts.doubt(rows[0], self.rule), rows)
        guilt = verdicts.guilt(rows, self.rule)
        for strength in self.rule.weaker if catalogue.has_strength(self.leaf) else ():
            weaker = self._measure(strength)
            if weaker[0]["finding"] == "keeps_label":
                reason = (
                    f"{guilt}; at {strength:g} of its strength {verdicts.percent(weaker[0])} of the labels are kept"
                )
                return self._verdict(strength, "weakened", reason, rows)
        return self._verdict(None, "dropped", guilt, rows)

    def _verdict(self, strength: float | None, outcome: str, reason: str, rows: list[dict[str, Any]]) -> Verdict:
        replacement = None if strength is None else self.leaf
        if strength not in (None, 1.0):
            assert strength is not None
            replacement = catalogue.scaled(self.leaf, strength)
        whole = rows[0] if rows else None
        measured = [row for row in rows[1:] if row["retained"] is not None]
        return Verdict(
            transform=self.leaf,
            replacement=replacement,
            outcome=outcome,
            reason=reason,
            strength=strength,
            retained=whole["retained"] if whole else None,
            interval=(whole["low"], whole["high"]) if whole and whole["retained"] is not None else None,
            classes=tuple(sorted(measured, key=lambda row: (row["retained"], row["label"]))),
        )

    def _measure(self, strength: float) -> list[dict[str, Any]]:
        """A row for all images, then one per class; the first row's finding is the transform's."""
        transform = {**catalogue.scaled(self.leaf, strength), "p": 1.0}
        after = self.judge(_changed([transform], self.images, self.seed, self.position)) == self.labels
        rows = [self._row(transform, strength, ALL, np.ones(len(after), dtype=bool), after, self.rule.confidence)]
        level = 1 - (1 - self.rule.confidence) / len(self.names)
        for index, name in enumerate(self.names):
            rows.append(self._row(transform, strength, name, self.labels == index, after, level))
        if any(row["finding"] == "changes_label" for row in rows):
            rows[0]["finding"] = "changes_label"
        self.rows.extend(rows)
        return rows

    def _row(
        self,
        transform: Transform,
        strength: float,
        label: str,
        chosen: NDArray[np.bool_],
        after: NDArray[np.bool_],
        level: float,
    ) -> dict[str, Any]:
        before, after = self.right[chosen], after[chosen]
        ratio = low = high = None
        finding = "cannot_tell"
        if before.any():
            seed = derive(self.seed, "augment", "interval", self.position, label)
            ratio, low, high = retained(before, after, level=level, seed=seed)
            if before.sum() >= self.rule.min_images:
                # the lower bound of a class does not count: with few images it is always low
                harmless = low >= self.rule.tolerance or label != ALL
                finding = "keeps_label" if harmless else "cannot_tell"
                finding = "changes_label" if high < self.rule.tolerance else finding
        return {
            "position": self.position,
            "transform": transform["name"],
            "arguments": json.dumps(transform["arguments"], sort_keys=True),
            "strength": strength,
            "label": label,
            "images": int(chosen.sum()),
            "right_before": int(before.sum()),
            "right_after": int(after.sum()),
            "retained": ratio,
            "low": low,
            "high": high,
            "finding": finding,
        }


def _changed(transforms: list[Transform], images: Images, seed: int, use: str | int) -> Images:
    height, width, channels = images.shape[1:]
    policy = build(transforms, height=height, width=width, channels=channels)
    return np.stack([policy(image, derive(seed, "augment", "audit", use, at)) for at, image in enumerate(images)])


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)
