"""The validation of a set: reasons and quarantine of each row, and the gate of the whole set."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hallmark.contracts import progress
from hallmark.contracts.reasons import adding, having
from hallmark.contracts.tables import MEASUREMENTS, write_table
from hallmark.quality import expectations, rows, set_gate
from hallmark.quality.missing import filled

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

    from hallmark.quality.quarantine_rules import QuarantineRules
    from hallmark.quality.set_gate import SetGate
    from hallmark.quality.suites import Suite


@dataclass(frozen=True, kw_only=True)
class Validated:
    """``table`` has a row per file: the manifest and measurements, with ``reasons`` and ``quarantined``.

    ``outcomes`` are those of :class:`expectations.Checked`; ``review`` counts the ``decisions`` of a review, the rows
    ``kept`` in spite of a reason to quarantine them, and the ``stale`` decisions, about other bytes.
    """

    table: pd.DataFrame
    gate: SetGate
    outcomes: list[dict[str, Any]]
    review: dict[str, int]

    @property
    def usable(self) -> pd.DataFrame:
        """The rows that are not quarantined."""
        return self.table[~self.table["quarantined"]]

    def write(self, folder: Path, manifest: pd.DataFrame, *, missing: str) -> None:
        """Writes measurements.parquet, with the metadata of ``manifest``, and expectations.json to ``folder``.

        ``missing`` is the policy for missing values, see :func:`missing.filled`.
        """
        measurements = self.table[list(MEASUREMENTS)].join(filled(manifest, missing))
        write_table(measurements, MEASUREMENTS, folder / "measurements.parquet")
        text = json.dumps(self.outcomes, indent=1, ensure_ascii=False, allow_nan=False)
        (folder / "expectations.json").write_text(text + "\n", encoding="utf-8")


def validate(
    manifest: pd.DataFrame,
    measured: pd.DataFrame,
    *,
    decisions: pd.DataFrame,
    suites: list[Suite],
    store: Path,
    rules: QuarantineRules,
    limits: Mapping[str, Any],
) -> Validated:
    """Judges each row, then the set.

    Args:
        manifest: One row per file of the source.
        measured: The measurements of each, see :func:`hallmark.quality.measured_set.measure_set`.
        decisions: A person's decisions about single files.
        suites: The expectations.
        store: The folder for Great Expectations' results.
        rules: What quarantines a row, and what refuses the set.
        limits: Of the measurements, see :func:`hallmark.quality.flags.flag`.

    Raises InputError for an expectation that cannot be evaluated.
    """
    table = manifest.drop(columns="reasons").merge(measured, on="path", validate="1:1")
    reasons = rows.reasons_of(table, manifest, missing=rules.missing, **limits)
    frames, counts = rows.frames(table, manifest, reasons)
    progress.report("checking the expectations")
    checked = expectations.check(frames, counts, suites, store)
    reasons, quarantined = rows.quarantine(table["path"], reasons, checked, chosen=rules.quarantined)
    endorsed = rows.endorsed(table, decisions) & quarantined & ~having(reasons, rows.WITHOUT_CLASS)
    quarantined &= ~endorsed
    gate = set_gate.judge(
        table["label"],
        reasons,
        set_gate.split_folders(table["path"], table["given_split"]),
        quarantined,
        max_quarantine_share=rules.max_quarantine_share,
        min_images_per_class=rules.min_images_per_class,
        quarantine_small=rules.on_small_class == "quarantine",
        refusals=checked.refusals,
    )
    reasons = adding(reasons, {"class_too_small": gate.too_small})
    return Validated(
        table=table.assign(reasons=reasons, quarantined=quarantined | gate.too_small),
        gate=gate,
        outcomes=checked.outcomes,
        review={"decisions": len(decisions), "kept": int(endorsed.sum()), "stale": rows.stale(table, decisions)},
    )
