"""Outliers and label errors: detected in all images, acted on in train, flagged in val and test.

Detectors are fitted on the remaining training images without conflicting copies. They need ``min_images`` of those in
two classes; otherwise nothing is detected and all conflicting copies are removed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hallmark.contracts import progress
from hallmark.contracts.names import NO_FOLDER, SPLITS, probability_columns
from hallmark.contracts.reasons import having
from hallmark.contracts.runtime import workers
from hallmark.quality import decisions, embedding, labels, outliers, thumbnails
from hallmark.quality.predictions import read_predictions
from hallmark.statistics.components import Components

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Features = NDArray[np.float32]
    Mask = NDArray[np.bool_]
    Stored = NDArray[np.int64]  # [images, 2]: shard and row
    Encoder = Callable[[Stored], tuple[Features, dict[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Thresholds and actions for outliers and label errors: the section ``clean`` of params.yaml."""

    duplicates: str
    outliers: str
    outlier_false_alarms: float
    label_issues: str
    label_evidence: float
    relabel_confidence: float
    downweight: float
    max_removed_share: float
    folds: int
    min_images: int
    out_of_fold: str


@dataclass(kw_only=True)
class Detected:
    """``removed`` counts training images by finding; ``facts`` describe the fit and the findings.

    ``spared`` findings in train are only flagged: beyond ``max_removed_share``, or explained by a rare class.
    """

    removed: dict[str, int] = field(default_factory=lambda: {"conflicts": 0, "outliers": 0, "label_issues": 0})
    spared: int = 0
    facts: dict[str, Any] = field(default_factory=dict)


class _Detection:
    """The table of decisions, which the detectors change in place, and their shared state."""

    def __init__(self, table: pd.DataFrame, rules: Rules, order: NDArray[np.float64]) -> None:
        self.table, self.rules, self.order = table, rules, order
        self.classes, self.label = np.unique(table["label"].to_numpy(object), return_inverse=True)
        train = (table["split"] == "train").to_numpy(bool)
        self.standing: Mask = train & (table["fate"] != "removed").to_numpy(bool)
        self.certain: Mask = self.standing & ~having(table["reasons"], ["conflicting_duplicate"])
        self.outcome = Detected()

    def has_two_classes(self, rows: Mask) -> bool:
        return len(np.unique(self.label[rows])) >= 2

    def find_outliers(self, score: NDArray[np.float64], threshold: Callable[..., float]) -> Mask:
        """Acts on the outliers by their score [images] and returns them."""
        limit = threshold(score[self.certain], false_alarms=self.rules.outlier_false_alarms)
        self.table["outlier_score"] = np.where(np.isfinite(score), score, np.nan)
        strange = np.isfinite(score) & (score > limit)
        self.act(strange, "outlier", score, self.rules.outliers, strange & self.standing)
        self.outcome.facts["outlier_threshold"] = round(limit, 6) if np.isfinite(limit) else None
        self.outcome.facts["outliers"] = self.per_split(strange)
        return strange

    def probabilities(self, features: Features, fit: Mask) -> NDArray[np.float64]:
        """[images, classes] from classifiers that have not seen the image."""
        cluster, _ = pd.factorize(self.table["cluster"])
        progress.report("searching for label errors")
        fold = labels.folds(cluster[fit], self.label[fit], self.order[fit], self.rules.folds)
        model, out_of_fold = labels.fit(features[fit], self.label[fit], fold, len(self.classes))
        probabilities = model.predict(features)
        probabilities[fit] = out_of_fold
        self.outcome.facts["crossvalidated"] = 0
        if self.rules.out_of_fold != NO_FOLDER:
            columns = probability_columns([str(name) for name in self.classes])
            networks = read_predictions(Path(self.rules.out_of_fold), images=self.table, columns=columns)
            judged = ~np.isnan(networks).any(axis=1)
            probabilities[judged] = labels.calibrated(networks[judged], self.label[judged])
            self.outcome.facts["crossvalidated"] = int(judged.sum())
        return probabilities

    def settle_conflicts(self, probabilities: NDArray[np.float64] | None) -> None:
        if self.rules.duplicates == "remove":
            settled = decisions.settle_conflicts(self.table, self.label, probabilities)
            self.outcome.removed["conflicts"] = int(settled.sum())

    def find_wrong_labels(self, probabilities: NDArray[np.float64], fit: Mask) -> None:
        """Acts on images for which another class is far more probable than the label."""
        rules, label = self.rules, self.label
        quality = labels.label_quality(label, probabilities)
        self.table["label_quality"] = quality
        best = probabilities.argmax(axis=1)
        self.table["suggested_label"] = pd.Series(self.classes[best], dtype="string").where(best != label)
        wrong = labels.find_issues(label, probabilities, evidence=rules.label_evidence)
        count = np.bincount(label[fit], minlength=len(self.classes))
        rare = labels.doubted_for_rarity(label, probabilities, count, evidence=rules.label_evidence)
        chosen = wrong & self.standing & ~rare
        if rules.label_issues == "relabel":
            chosen &= probabilities.max(axis=1) >= rules.relabel_confidence
        self.act(wrong, "label_issue", -quality, rules.label_issues, chosen)
        self.outcome.facts["out_of_fold_accuracy"] = round(float((best == label)[fit].mean()), 6)
        self.outcome.facts["estimated_label_errors"] = labels.estimated_errors(label[fit], probabilities[fit])
        self.outcome.facts["label_issues"] = self.per_split(wrong)
        self.outcome.facts["doubted_for_rarity"] = self.per_split(rare)

    def act(self, flagged: Mask, reason: str, score: NDArray[np.float64], action: str, chosen: Mask) -> None:
        """Applies ``action`` to the ``chosen`` with the highest scores, up to ``max_removed_share`` of each class."""
        share = self.rules.max_removed_share
        chosen = decisions.within_share(chosen, score, self.table["label"], self.standing, share)
        before = decisions.open_in_train(self.table)
        decisions.act(self.table, flagged, reason, removable=chosen, action=action, weight=self.rules.downweight)
        self.outcome.removed[f"{reason}s"] = int((before & ~decisions.open_in_train(self.table)).sum())
        if action != "flag":
            self.outcome.spared += int((flagged & before & ~chosen).sum())

    def per_split(self, rows: Mask) -> dict[str, int]:
        return {name: int((rows & (self.table["split"] == name).to_numpy(bool)).sum()) for name in SPLITS}


def detect(
    table: pd.DataFrame,
    stored: Stored,
    folder: Path,
    *,
    rules: Rules,
    order: NDArray[np.float64],
    encode: Encoder | None,
) -> Detected:
    """Scores all images of a table from :func:`hallmark.quality.decisions.start` and acts on the findings.

    ``stored`` are the positions of the images, [images, 2], in the shards in ``folder``. ``encode`` returns a network's
    features and their description; None uses oriented gradients. ``order`` is any fixed number per image: it assigns
    duplicate clusters to folds.
    """
    work = _Detection(table, rules, order)
    off = rules.outliers == "off" and rules.label_issues == "off"
    fitted = work.certain.sum() >= rules.min_images and work.has_two_classes(work.certain)
    work.outcome.facts["fitted_on"] = int(work.certain.sum()) if fitted else 0
    if not fitted or off:
        work.settle_conflicts(None)
        return work.outcome
    progress.report("reading images")
    small = thumbnails.load(folder, stored, side=embedding.SIDE, workers=workers())
    colours = embedding.colours(small)
    features, work.outcome.facts["encoder"] = (embedding.gradients(small), None) if encode is None else encode(stored)
    looks = Components.fit(colours[work.certain]).of(colours)
    shapes = Components.fit(features[work.certain]).of(features)
    fit = work.certain
    if rules.outliers != "off":
        progress.report("searching for outliers")
        if encode is None:
            strange = work.find_outliers(outliers.strangeness([shapes, looks], work.certain), outliers.threshold)
        else:
            score = outliers.class_distances(features, work.label, work.certain)
            strange = work.find_outliers(score, outliers.normal_threshold)
        fit = fit & ~strange
    if rules.label_issues == "off" or not work.has_two_classes(fit):
        work.settle_conflicts(None)
        return work.outcome
    probabilities = work.probabilities(embedding.join(shapes, looks), fit)
    work.settle_conflicts(probabilities)
    work.find_wrong_labels(probabilities, fit)
    return work.outcome
