"""The outcome of each source row: reasons of all kinds, quarantine, and endorsement by a review."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from hallmark.quality import rows
from hallmark.quality.expectations import Checked

LIMITS: dict[str, Any] = {
    "min_side": 4,
    "max_side": 5000,
    "max_aspect": 10.0,
    "blank_contrast": 0.004,
    "low_contrast": 0.04,
    "dark_highlight": 0.15,
    "bright_shadow": 0.85,
    "blurry_sharpness": 0.03,
    "blurry_share": 0.08,
    "noisy_noise": 0.06,
    "spread": 4.0,
}
MANIFEST = pd.DataFrame(
    {
        "path": pd.array(["1.png", "2.png", "3.png", "4.txt", "5.png"], dtype="string"),
        "label": pd.array(["cat", "cat", pd.NA, pd.NA, "dog"], dtype="string"),
        "group": pd.array(["g", pd.NA, "g", pd.NA, "g"], dtype="string"),
        "reasons": pd.array(["", "", "", "stray_file", ""], dtype="string"),
    }
)
MEASURED: dict[str, Any] = {
    "failure": ["", "", "", "", "truncated"],
    "width": [32, 2, 32, 0, 0],
    "height": [32, 32, 32, 0, 0],
    "frames": [1, 1, 1, 0, 0],
    "brightness": 0.5,
    "contrast": 0.2,
    "sharpness": 0.5,
    "noise": 0.01,
    "pixel_hash": ["p", "q", "r", "", ""],
    "sha256": list("abcde"),
    "sketch": b"",
}
TABLE = MANIFEST.assign(**MEASURED)


def test_a_row_s_reasons_come_from_ingest_decoding_rules_and_gaps() -> None:
    reasons = rows.reasons_of(TABLE, MANIFEST, missing="quarantine", **LIMITS)
    assert [set(text.split(";")) - {""} for text in reasons] == [
        set(),
        {"too_small", "extreme_aspect", "missing_value"},
        {"unlabelled"},
        {"stray_file"},
        {"truncated"},
    ]


def test_a_gap_that_is_kept_is_no_reason() -> None:
    reasons = rows.reasons_of(TABLE, MANIFEST, missing="keep", **LIMITS)
    assert not reasons.str.contains("missing_value").any()


def test_suites_see_all_rows_or_files_or_images() -> None:
    reasons = rows.reasons_of(TABLE, MANIFEST, missing="keep", **LIMITS)
    frames, counts = rows.frames(TABLE, MANIFEST, reasons)
    assert {name: frame["path"].tolist() for name, frame in frames.items()} == {
        "found": ["1.png", "2.png", "3.png", "4.txt", "5.png"],
        "files": ["1.png", "2.png", "3.png", "5.png"],
        "images": ["1.png", "2.png", "3.png"],
    }
    assert counts == {"found": 5, "files": 4, "images": 3}
    narrow = frames["images"].iloc[1]
    assert (narrow["short_side"], narrow["long_side"], narrow["aspect"]) == (2, 32, 16)
    assert "sketch" not in frames["found"]
    assert frames["found"]["aspect"].tolist()[3:] == [0, 0], "what has no size has no aspect"


def test_a_row_is_quarantined_without_an_image_by_a_critical_suite_or_by_choice() -> None:
    path = MANIFEST["path"]
    reasons = pd.Series(["", "blurry", "too_dark", "stray_file", ""], dtype="string")
    checked = Checked(
        outcomes=[], failing={("critical", "too_large"): ["1.png"], ("warning", "noisy"): ["5.png", "1.png"]}
    )
    after, quarantined = rows.quarantine(path, reasons, checked, chosen=["blurry"])
    assert quarantined.tolist() == [True, True, False, True, False]
    assert [set(text.split(";")) for text in after] == [
        {"too_large", "noisy"},
        {"blurry"},
        {"too_dark"},
        {"stray_file"},
        {"noisy"},
    ]


def decisions(*entries: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(entries, columns=["path", "decision", "content_hash"])


def test_a_person_endorses_the_bytes_they_saw_of_what_decodes() -> None:
    review = decisions(
        ("1.png", "keep", "a"),
        ("2.png", "drop", "b"),
        ("3.png", "relabel", "c"),
        ("5.png", "keep", "e"),
        ("6", "keep", "f"),
    )
    assert rows.endorsed(TABLE, review).tolist() == [True, False, True, False, False]
    assert rows.endorsed(TABLE, decisions(("1.png", "keep", "older"))).tolist() == [False] * 5
    assert rows.endorsed(TABLE, decisions()).dtype == np.bool_


def test_decisions_about_other_bytes_are_stale() -> None:
    assert rows.stale(TABLE, decisions(("1.png", "keep", "a"), ("2.png", "drop", "older"), ("gone", "drop", "x"))) == 2
    assert rows.stale(TABLE, decisions()) == 0
