"""clean: outliers, wrong labels and copies leave train; in val and test they are only flagged. Writes the ledger.

Removing hard images from the test set would be a way to lie. A person's review beats every detector, in every split.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hallmark.contracts import require
from hallmark.contracts.names import FATES, NO_FOLDER, SPLITS, probability_columns

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

SUSPECTS = 40


@dataclass(frozen=True, kw_only=True)
class Params:
    seed: int
    backbone: str | None
    out_of_fold: str
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

    def __post_init__(self) -> None:
        remedy = f"give the out_of_fold.parquet of `hallmark crossval`, or {NO_FOLDER}"
        require.not_blank(remedy, out_of_fold=self.out_of_fold)
        require.one_of(("remove", "flag"), duplicates=self.duplicates)
        require.one_of(("remove", "flag", "downweight", "off"), outliers=self.outliers)
        require.one_of(("remove", "relabel", "downweight", "flag", "off"), label_issues=self.label_issues)
        require.positive(outlier_false_alarms=self.outlier_false_alarms)
        require.at_least(1, label_evidence=self.label_evidence)
        for name in ("relabel_confidence", "downweight", "max_removed_share"):
            require.in_range(0, 1, **{name: getattr(self, name)})
        require.in_range(2, 20, folds=self.folds)
        require.at_least(20, min_images=self.min_images)


@dataclass(frozen=True, kw_only=True)
class Report:
    found: int  # files in the source
    fates: dict[str, int]  # add up to found
    per_class: dict[str, dict[str, int]]  # class as found ("" unlabelled) -> fate -> files
    per_split: dict[str, dict[str, int]]
    reasons: dict[str, dict[str, int]]  # reason -> fate -> files
    removed_from_train: dict[str, int]  # by what: review, duplicates, conflicts, outliers, label_issues
    # findings in train that are only flagged: beyond max_removed_share, or a label doubted for its class's rarity alone
    spared: int
    train_images: dict[str, dict[str, int]]  # class -> before, after
    detectors: dict[str, Any]
    review: dict[str, Any]
    suspects: list[dict[str, Any]]  # worst first


def run(
    params: Params, *, ingest: Path, validate: Path, split: Path, review: Path, clean: Path, ledger: Path
) -> Report:
    import numpy as np

    from hallmark.contracts import tables
    from hallmark.quality import decisions
    from hallmark.quality import ledger as books
    from hallmark.quality.review import match, read_review

    manifest = tables.read_table(ingest / "manifest.parquet", tables.MANIFEST)
    measured = tables.read_table(validate / "measurements.parquet", tables.MEASUREMENTS)
    images = tables.read_table(split / "split.parquet", tables.SPLIT)
    reviewed = read_review(review)
    applied, stale = match(reviewed, manifest)

    table = decisions.start(images, measured, applied)
    train = (table["split"] == "train").to_numpy(bool)
    removed = {"review": int((train & (table["fate"] == "removed")).sum()), "duplicates": 0}
    if params.duplicates == "remove":
        removed["duplicates"] = int(decisions.remove_copies(table).sum())
    spared, detectors = _detect(params, table, manifest, ingest, removed)
    decisions.name_stages(table)
    for column in ("outlier_score", "label_quality"):
        # the last bits depend on the number of threads of the linear algebra
        table[column] = table[column].round(6)
    tables.write_table(table[list(tables.DECISIONS)], tables.DECISIONS, clean / "decisions.parquet")
    book = books.build(manifest, measured, table)
    books.write(book, ledger)
    after = table[train & (table["fate"] != "removed").to_numpy(bool)]["label"].value_counts()
    before = table[train]["found_label"].value_counts()
    names = sorted(set(before.index) | set(after.index))
    assert int(before.sum()) - sum(removed.values()) == int(after.sum()), "a removal is counted twice or not at all"
    return Report(
        found=len(manifest),
        fates=books.reconcile(book, found=len(manifest)),
        per_class=_counts(book, "label"),
        per_split={name or "none": row for name, row in _counts(book, "split").items()},
        reasons=_by_reason(book),
        removed_from_train=removed,
        spared=spared,
        train_images={c: {"before": int(before.get(c, 0)), "after": int(after.get(c, 0))} for c in names},
        detectors=detectors,
        review={
            "decisions": len(reviewed),
            "applied": {word: int((applied["decision"] == word).sum()) for word in ("keep", "drop", "relabel")},
            "of_quarantined": int((~applied["path"].isin(np.asarray(table["path"]))).sum()),
            "stale": stale[["path", "decision", "why"]].astype(object).to_dict("records"),
        },
        suspects=_suspects(table),
    )


def _detect(
    params: Params, table: pd.DataFrame, manifest: pd.DataFrame, ingest: Path, removed: dict[str, int]
) -> tuple[int, dict[str, Any]]:
    """Scores all images and acts on outliers, conflicts and label issues; findings spared, and what was fitted."""
    import numpy as np
    import pandas as pd

    from hallmark.contracts import progress
    from hallmark.contracts.runtime import workers
    from hallmark.quality import decisions, embedding, labels, outliers, thumbnails
    from hallmark.splitting.units import positions

    removed |= {"conflicts": 0, "outliers": 0, "label_issues": 0}
    classes, label = np.unique(table["label"].to_numpy(object), return_inverse=True)
    train = (table["split"] == "train").to_numpy(bool)
    standing = train & (table["fate"] != "removed").to_numpy(bool)
    certain = standing & ~table["reasons"].str.contains("conflicting_duplicate").to_numpy(bool)
    fitted = certain.sum() >= params.min_images and len(np.unique(label[certain])) >= 2
    facts: dict[str, Any] = {"fitted_on": int(certain.sum()) if fitted else 0}
    if not fitted or (params.outliers == "off" and params.label_issues == "off"):
        if params.duplicates == "remove":
            removed["conflicts"] = int(decisions.settle_conflicts(table, label, None).sum())
        return 0, facts

    where = table[["path"]].merge(manifest[["path", "shard", "row"]], on="path", validate="one_to_one")
    places = where[["shard", "row"]].to_numpy(np.int64)
    progress.report("reading images")
    small = thumbnails.load(ingest, places, side=embedding.SIDE, workers=workers())
    colours = embedding.colours(small)
    if params.backbone is None:
        shown, facts["encoder"] = embedding.gradients(small), None
    else:
        shown, facts["encoder"] = _seen_by(params.backbone, ingest, places)
    looks = embedding.Components.fit(colours[certain]).of(colours)
    shapes = embedding.Components.fit(shown[certain]).of(shown)
    spared = 0

    strange = np.zeros(len(table), bool)
    if params.outliers != "off":
        progress.report("searching for outliers")
        score = outliers.strangeness([shapes, looks], certain)
        limit = outliers.threshold(score[certain], false_alarms=params.outlier_false_alarms)
        table["outlier_score"] = np.where(np.isfinite(score), score, np.nan)
        strange = np.isfinite(score) & (score > limit)
        chosen = decisions.within_share(strange & standing, score, table["label"], standing, params.max_removed_share)
        spared += _act(params, table, strange, "outlier", chosen, params.outliers, removed)
        facts["outlier_threshold"] = round(limit, 6) if np.isfinite(limit) else None
        facts["outliers"] = _per_split(table, strange)

    fit = certain & ~strange
    if params.label_issues == "off" or len(np.unique(label[fit])) < 2:
        if params.duplicates == "remove":
            removed["conflicts"] = int(decisions.settle_conflicts(table, label, None).sum())
        return spared, facts
    both = embedding.join(shapes, looks)
    cluster, _ = pd.factorize(table["cluster"])
    order = positions(table["cluster"], seed=params.seed)
    progress.report("searching for wrong labels")
    fold = labels.folds(cluster[fit], label[fit], order[fit], params.folds)
    model, probabilities_fit = labels.fit(both[fit], label[fit], fold, len(classes))
    probabilities = model.predict(both)
    probabilities[fit] = probabilities_fit
    facts["crossvalidated"] = 0
    if params.out_of_fold != NO_FOLDER:
        facts["crossvalidated"] = _crossvalidated(params.out_of_fold, table, classes, label, probabilities)
    if params.duplicates == "remove":
        removed["conflicts"] = int(decisions.settle_conflicts(table, label, probabilities).sum())
    quality = labels.label_quality(label, probabilities)
    table["label_quality"] = quality
    best = probabilities.argmax(axis=1)
    table["suggested_label"] = pd.Series(classes[best], dtype="string").where(best != label)
    wrong = labels.find_issues(label, probabilities, evidence=params.label_evidence)
    count = np.bincount(label[fit], minlength=len(classes))
    rare = labels.doubted_for_rarity(label, probabilities, count, evidence=params.label_evidence)
    chosen = wrong & standing & ~rare
    if params.label_issues == "relabel":
        chosen &= probabilities.max(axis=1) >= params.relabel_confidence
    chosen = decisions.within_share(chosen, -quality, table["label"], standing, params.max_removed_share)
    spared += _act(params, table, wrong, "label_issue", chosen, params.label_issues, removed)
    right = best == label
    facts["out_of_fold_accuracy"] = round(float(right[fit].mean()), 6)
    facts["estimated_label_errors"] = labels.estimated_errors(label[fit], probabilities[fit])
    facts["label_issues"] = _per_split(table, wrong)
    facts["doubted_for_rarity"] = _per_split(table, rare)
    return spared, facts


def _crossvalidated(
    place: str, table: pd.DataFrame, classes: NDArray[Any], label: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> int:
    """Puts a cross-validation's predictions in the place of the classifier's; of how many images it has one."""
    from pathlib import Path

    import numpy as np

    from hallmark.quality import labels
    from hallmark.quality.predictions import read_predictions

    names = [str(name) for name in classes]
    said = read_predictions(Path(place), images=table, columns=probability_columns(names))
    judged = ~np.isnan(said).any(axis=1)
    probabilities[judged] = labels.calibrated(said[judged], label[judged])
    return int(judged.sum())


def _seen_by(backbone: str, ingest: Path, places: NDArray[np.int64]) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """What a trained network sees in the images, float32 [images, features], and which network it is."""
    import tempfile
    from pathlib import Path

    from hallmark.contracts.runtime import workers
    from hallmark.images.shards import Reader
    from hallmark.learning import devices
    from hallmark.models import features
    from hallmark.tracking import backbones

    with tempfile.TemporaryDirectory() as scratch, Reader(ingest) as reader:
        found = backbones.named(backbone, Path(scratch), where="clean.backbone")
        images = reader.rows([(int(shard), int(row)) for shard, row in places])
        seen = features.extract(found, images, bits=reader.bits, device=devices.device(), workers=workers())
        return seen, dict(found.told())


def _act(
    params: Params,
    table: pd.DataFrame,
    found: NDArray[np.bool_],
    reason: str,
    chosen: NDArray[np.bool_],
    action: str,
    removed: dict[str, int],
) -> int:
    from hallmark.quality import decisions

    open_before = decisions.open_in_train(table)
    decisions.act(table, found, reason, removable=chosen, action=action, weight=params.downweight)
    removed[f"{reason}s"] = int((open_before & ~decisions.open_in_train(table)).sum())
    return int((found & open_before & ~chosen).sum()) if action != "flag" else 0


def _per_split(table: pd.DataFrame, found: NDArray[np.bool_]) -> dict[str, int]:
    return {name: int((found & (table["split"] == name).to_numpy(bool)).sum()) for name in SPLITS}


def _counts(book: pd.DataFrame, column: str) -> dict[str, dict[str, int]]:
    return {
        str(value): {fate: int((rows["fate"] == fate).sum()) for fate in FATES} for value, rows in book.groupby(column)
    }


def _by_reason(book: pd.DataFrame) -> dict[str, dict[str, int]]:
    single = book.assign(reason=book["reasons"].str.split(";")).explode("reason")
    return _counts(single[single["reason"] != ""], "reason")


def _suspects(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The worst of each finding, for a person to look at: half outliers, half labels, at most 40 together."""
    rows = []
    for reason, column, ascending in (("outlier", "outlier_score", False), ("label_issue", "label_quality", True)):
        found = table[table["reasons"].str.split(";").map(lambda reasons, reason=reason: reason in reasons)]
        for row in found.sort_values([column, "path"], ascending=[ascending, True]).head(SUSPECTS // 2).itertuples():
            suggested = row.suggested_label
            rows.append(
                {
                    "path": row.path,
                    "reason": reason,
                    "split": row.split,
                    "fate": row.fate,
                    "label": row.found_label,
                    "suggested_label": suggested if isinstance(suggested, str) else None,
                    "score": float(getattr(row, column)),
                }
            )
    return rows
