"""The validation of a set: rows and set are judged together, and what a review keeps is not quarantined."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from hallmark.contracts.errors import InputError
from hallmark.contracts.tables import MANIFEST, MEASUREMENTS, conform, read_table
from hallmark.quality.quarantine_rules import QuarantineRules
from hallmark.quality.spellings import account
from hallmark.quality.validation import Validated, validate
from tests.quality.test_rows import LIMITS

if TYPE_CHECKING:
    from pathlib import Path

RULES = QuarantineRules(
    missing="keep", quarantine=["too_small"], max_quarantine_share=0.5, min_images_per_class=2,
    on_small_class="quarantine",
)  # fmt: skip
LABELS = ["cat"] * 4 + ["dog"] * 4 + ["emu"]


def manifest() -> pd.DataFrame:
    """Cats, dogs and one emu; the first cat has another spelling, and the last dog no camera."""
    frame = pd.DataFrame({"path": [f"{label}/{number}.png" for number, label in enumerate(LABELS)], "label": LABELS})
    frame["sha256"] = [f"{number:064d}" for number in range(len(frame))]
    frame = frame.assign(label_found=["Cat", *LABELS[1:]], group=None, given_split=None, size=9, shard=0, reasons="")
    table = conform(frame.assign(row=range(len(frame))), MANIFEST)
    return table.assign(meta_camera=pd.array(["old"] * 7 + [None, "new"], dtype="string"))


def measured(widths: list[int]) -> pd.DataFrame:
    frame = pd.DataFrame({"path": manifest()["path"], "width": widths, "height": 32, "frames": 1, "failure": ""})
    frame = frame.assign(format="PNG", mode="L", brightness=0.5, contrast=0.2, sharpness=0.5, noise=0.01, peak=0)
    return frame.assign(phash=range(len(frame)), sketch=b"", pixel_hash=[f"p{number}" for number in range(len(frame))])


def validated(
    folder: Path, rules: QuarantineRules = RULES, *, widths: list[int], kept: tuple[int, ...] = ()
) -> Validated:
    rows = manifest().iloc[list(kept)]
    decisions = pd.DataFrame({"path": rows["path"], "decision": "keep", "content_hash": rows["sha256"]})
    return validate(
        manifest(), measured(widths), decisions=decisions, suites=[], store=folder, rules=rules, limits=LIMITS
    )


def test_rows_are_quarantined_by_rule_and_with_their_class(tmp_path: Path) -> None:
    result = validated(tmp_path, widths=[2, *[32] * 8])
    assert result.table["reasons"].str.split(";").tolist()[0] == ["too_small", "extreme_aspect"]
    assert result.table["reasons"].tolist()[1:] == [""] * 7 + ["class_too_small"]
    assert result.table["quarantined"].tolist() == [True, *[False] * 7, True]
    assert result.usable["label"].value_counts().to_dict() == {"dog": 4, "cat": 3}
    assert (result.gate.share, result.gate.small_classes, result.gate.refused) == (1 / 9, {"emu": 1}, [])


def test_what_a_review_keeps_is_not_quarantined(tmp_path: Path) -> None:
    result = validated(tmp_path, widths=[2, *[32] * 8], kept=(0, 1))
    assert result.table["quarantined"].tolist() == [*[False] * 8, True]
    assert result.review == {"decisions": 2, "kept": 1, "stale": 0}


def test_rules_may_refuse_the_set(tmp_path: Path) -> None:
    strict = dataclasses.replace(RULES, on_small_class="fail", max_quarantine_share=0.1)
    share, small = validated(tmp_path, strict, widths=[2, *[32] * 8]).gate.refused
    assert "1 of 9 files" in share
    assert "'emu' 1" in small


def test_missing_values_are_quarantined_if_asked_for(tmp_path: Path) -> None:
    result = validated(tmp_path, dataclasses.replace(RULES, missing="quarantine"), widths=[32] * 9)
    assert result.table["reasons"].tolist()[7] == "missing_value"
    assert result.table["quarantined"].tolist()[7]


def test_measurements_are_written_with_their_metadata(tmp_path: Path) -> None:
    result = validated(tmp_path / "store", widths=[32] * 9)
    result.write(tmp_path, manifest(), missing="impute")
    table = read_table(tmp_path / "measurements.parquet", MEASUREMENTS)
    assert table["meta_camera"].tolist() == ["old"] * 8 + ["new"]
    assert json.loads((tmp_path / "expectations.json").read_text()) == result.outcomes


def test_the_spellings_of_the_labels_are_counted() -> None:
    spellings = account(manifest())
    assert spellings["merged"] == {"cat": {"'Cat'": 1, "'cat'": 3}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"missing": "drop"}, "missing is 'drop'"),
        ({"quarantine": ["blury"]}, "did you mean 'blurry'"),
        ({"max_quarantine_share": 1.5}, "max_quarantine_share is 1.5"),
        ({"min_images_per_class": 0}, "min_images_per_class is 0"),
        ({"on_small_class": "keep"}, "on_small_class is 'keep'"),
    ],
)
def test_rules_are_checked(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        dataclasses.replace(RULES, **change)
