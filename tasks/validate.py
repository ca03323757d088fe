"""validate: measures every image, checks every row against the suites, quarantines rows and refuses unusable sets."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hallmark.contracts import require, runtime
from hallmark.contracts.errors import GateRefused
from hallmark.contracts.reasons import adding, having
from hallmark.quality.thresholds import CHOOSABLE, Thresholds

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Params:
    """The section ``validate`` of params.yaml."""

    suites: str
    classes: list[str] | None
    missing: str
    max_pixels: int
    seconds_per_image: float
    memory_mib: int
    min_side: int
    max_side: int
    max_aspect: float
    thresholds: Thresholds
    quarantine: list[str]
    max_quarantine_share: float
    min_images_per_class: int
    on_small_class: str

    def __post_init__(self) -> None:
        require.not_blank("give the folder of the suites", suites=self.suites)
        require.one_of(("quarantine", "impute", "keep"), missing=self.missing)
        require.one_of(("quarantine", "fail"), on_small_class=self.on_small_class)
        require.one_of(CHOOSABLE, quarantine=self.quarantine)
        require.in_range(0, 1, max_quarantine_share=self.max_quarantine_share)
        require.positive(seconds_per_image=self.seconds_per_image)
        require.at_least(256, memory_mib=self.memory_mib)
        for name in ("max_pixels", "min_side", "max_side", "max_aspect", "min_images_per_class"):
            require.at_least(1, **{name: getattr(self, name)})
        require.that(
            self.max_side >= self.min_side,
            f"is {self.max_side}, below min_side ({self.min_side})",
            remedy="give a larger max_side",
            field="max_side",
        )
        require.that(
            self.classes is None or len(set(self.classes)) >= 2,
            f"is {self.classes}",
            remedy="name at least two classes, or null for all classes of the source",
            field="classes",
        )


@dataclass(frozen=True, kw_only=True)
class Report:
    """Counts of files: ``found`` = ``kept`` + ``flagged`` + ``quarantined``, in all and per class."""

    found: int
    images: int
    kept: int
    flagged: int
    quarantined: int
    share_quarantined: float
    reasons: dict[str, dict[str, int]]
    classes: dict[str, dict[str, int]]
    small_classes: dict[str, int]
    labels: dict[str, Any]  # classes found in several spellings, and classes that differ in case or punctuation alone
    formats: dict[str, int]
    modes: dict[str, int]
    sizes: dict[str, Any]
    measures: dict[str, Any]
    expectations: dict[str, Any]
    review: dict[str, int]
    capture: list[dict[str, Any]]
    drift: dict[str, Any]  # from the last accepted data set; empty without one


def run(params: Params, *, ingest: Path, review: Path, accepted: Path, validate: Path) -> Report:
    """Writes measurements.parquet and expectations.json. Raises GateRefused for a set that cannot be used."""
    import json
    from pathlib import Path

    from hallmark.contracts import progress
    from hallmark.contracts.tables import MANIFEST, MEASUREMENTS, read_table, write_table
    from hallmark.quality import rows, set_gate, set_summary
    from hallmark.quality.acquisition import advice
    from hallmark.quality.drift import compare, read_accepted
    from hallmark.quality.expectations import check, render_data_docs
    from hallmark.quality.missing import filled
    from hallmark.quality.review import read_review
    from hallmark.quality.suites import load_suites

    parameters = {name: value for name, value in asdict(params).items() if not isinstance(value, dict)}
    suites = load_suites(Path(params.suites), parameters)
    decisions = read_review(review)
    last = read_accepted(accepted)
    manifest = read_table(ingest / "manifest.parquet", MANIFEST)
    table = manifest.drop(columns="reasons").merge(_measured(params, manifest, ingest), on="path", validate="1:1")
    sides = {"min_side": params.min_side, "max_side": params.max_side, "max_aspect": params.max_aspect}
    reasons = rows.reasons_of(table, manifest, missing=params.missing, **sides, **asdict(params.thresholds))

    store = runtime.state() / "expectations"
    frames, counts = rows.frames(table, manifest, reasons)
    progress.report("checking the expectations")
    checked = check(frames, counts, suites, store)
    render_data_docs(store, runtime.state() / "data_docs")
    chosen = [*params.quarantine, *(["missing_value"] if params.missing == "quarantine" else [])]
    reasons, quarantined = rows.quarantine(table["path"], reasons, checked, chosen=chosen)
    endorsed = rows.endorsed(table, decisions) & quarantined & ~having(reasons, rows.WITHOUT_CLASS)
    quarantined &= ~endorsed

    gate = set_gate.judge(
        table["label"],
        reasons,
        set_gate.split_folders(table["path"], table["given_split"]),
        quarantined,
        max_quarantine_share=params.max_quarantine_share,
        min_images_per_class=params.min_images_per_class,
        quarantine_small=params.on_small_class == "quarantine",
        refusals=checked.refusals,
    )
    reasons = adding(reasons, {"class_too_small": gate.too_small})
    table = table.assign(reasons=reasons, quarantined=quarantined | gate.too_small)
    usable = table[~table["quarantined"]]
    report = Report(
        **set_summary.summary(table),
        share_quarantined=round(gate.share, 6),
        small_classes=gate.small_classes,
        labels=_labels(manifest),
        expectations=set_summary.expectations(checked.outcomes),
        review={
            "decisions": len(decisions),
            "kept": int(endorsed.sum()),
            "stale": rows.stale(table, decisions),
        },
        capture=advice(usable),
        drift=compare(last, usable),
    )
    if gate.refused:
        raise GateRefused(
            f"the images are refused: {'; '.join(gate.refused)}",
            remedy=gate.remedies,
            story={"stage": "validate", "refused": gate.refused, "report": asdict(report)},
            ledger=set_summary.ledger(table),
        )
    write_table(
        table[list(MEASUREMENTS)].join(filled(manifest, params.missing)),
        MEASUREMENTS,
        validate / "measurements.parquet",
    )
    text = json.dumps(checked.outcomes, indent=1, ensure_ascii=False, allow_nan=False)
    (validate / "expectations.json").write_text(text + "\n", encoding="utf-8")
    return report


def _labels(manifest: pd.DataFrame) -> dict[str, Any]:
    """The spellings of the labels; logs a warning for similar ones."""
    import logging

    from hallmark.images import labels

    labelled = manifest[manifest["label"].notna()]
    spellings = labels.account(zip(labelled["label"], labelled["label_found"], strict=True))
    for line in labels.notices(spellings):
        logging.getLogger("hallmark").warning("%s", line)
    return spellings


def _measured(params: Params, manifest: pd.DataFrame, ingest: Path) -> pd.DataFrame:
    from hallmark.images.shards import Reader
    from hallmark.pipeline.runners import runner
    from hallmark.quality.expectations import imported_meanwhile
    from hallmark.quality.isolation import Limits
    from hallmark.quality.measured_set import measure_set

    limits = Limits(max_pixels=params.max_pixels, seconds=params.seconds_per_image, memory_mib=params.memory_mib)
    with Reader(ingest) as reader, runner() as pool, imported_meanwhile():
        return measure_set(
            manifest,
            reader.rows,
            limits,
            cache=runtime.state() / "cache",
            workers=pool.workers,
            bits=reader.bits,
            executor=pool.executor,
        )
