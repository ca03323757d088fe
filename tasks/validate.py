"""validate: measures every image, checks every row against the suites, quarantines rows and refuses unusable sets."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hallmark.contracts import require, runtime
from hallmark.contracts.errors import GateRefused
from hallmark.quality.quarantine_rules import QuarantineRules
from hallmark.quality.thresholds import Thresholds  # noqa: TC001  the params loader resolves the annotation

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Params(QuarantineRules):
    """The section ``validate`` of params.yaml."""

    suites: str
    classes: list[str] | None
    max_pixels: int
    seconds_per_image: float
    memory_mib: int
    min_side: int
    max_side: int
    max_aspect: float
    thresholds: Thresholds

    def __post_init__(self) -> None:
        super().__post_init__()
        require.not_blank("give the folder of the suites", suites=self.suites)
        require.positive(seconds_per_image=self.seconds_per_image)
        require.at_least(256, memory_mib=self.memory_mib)
        for name in ("max_pixels", "min_side", "max_side", "max_aspect"):
            require.at_least(1, **{name: getattr(self, name)})
        require.that(
            self.max_side >= self.min_side,
            f"is {self.max_side}, below {{min_side}} ({self.min_side})",
            remedy="raise {max_side} or lower {min_side}",
            field="max_side",
            siblings=["min_side", "max_side"],
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
    from pathlib import Path

    from hallmark.contracts.tables import MANIFEST, read_table
    from hallmark.quality import set_summary, spellings, validation
    from hallmark.quality.acquisition import advice
    from hallmark.quality.data_docs import render_data_docs
    from hallmark.quality.drift import compare, read_accepted
    from hallmark.quality.review import read_review
    from hallmark.quality.suites import load_suites

    parameters = {name: value for name, value in asdict(params).items() if not isinstance(value, dict)}
    suites = load_suites(Path(params.suites), parameters)
    decisions = read_review(review)
    last = read_accepted(accepted)
    manifest = read_table(ingest / "manifest.parquet", MANIFEST)
    store = runtime.state() / "expectations"
    sides = {"min_side": params.min_side, "max_side": params.max_side, "max_aspect": params.max_aspect}
    validated = validation.validate(
        manifest,
        _measured(params, manifest, ingest),
        decisions=decisions,
        suites=suites,
        store=store,
        rules=params,
        limits={**sides, **asdict(params.thresholds)},
    )
    render_data_docs(store, runtime.state() / "data_docs")
    table, gate = validated.table, validated.gate
    report = Report(
        **set_summary.summary(table),
        share_quarantined=round(gate.share, 6),
        small_classes=gate.small_classes,
        labels=spellings.account(manifest),
        expectations=set_summary.expectations(validated.outcomes),
        review=validated.review,
        capture=advice(validated.usable),
        drift=compare(last, validated.usable),
    )
    if gate.refused:
        raise GateRefused(
            f"the images are refused: {'; '.join(gate.refused)}",
            remedy=gate.remedies,
            story={"stage": "validate", "refused": gate.refused, "report": asdict(report)},
            ledger=set_summary.ledger(table),
        )
    validated.write(validate, manifest, missing=params.missing)
    return report


def _measured(params: Params, manifest: pd.DataFrame, ingest: Path) -> pd.DataFrame:
    from hallmark.images.shards import Reader
    from hallmark.pipeline.runners import runner
    from hallmark.quality.gx import imported_meanwhile
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
