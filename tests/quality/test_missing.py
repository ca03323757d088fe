"""Missing metadata: which rows lack something that others have, and what each policy writes."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from hallmark.quality import missing


def manifest(**columns: list[Any]) -> pd.DataFrame:
    frame = pd.DataFrame({"path": ["1.png", "2.png", "3.png", "4.png"], **columns})
    return frame.set_index(pd.Index([3, 1, 2, 0]))


def test_a_row_is_incomplete_where_others_have_the_value() -> None:
    frame = manifest(group=["g", None, "g", "g"], meta_site=["x", "y", None, "x"], label=[None, None, None, "a"])
    assert missing.incomplete(frame).tolist() == [False, True, True, False]


def test_what_no_row_has_is_not_missing() -> None:
    assert missing.incomplete(manifest(group=[None] * 4, meta_site=["x"] * 4)).tolist() == [False] * 4
    nothing = missing.incomplete(manifest(group=[None] * 4))
    assert nothing.dtype == bool
    assert nothing.tolist() == [False] * 4


@pytest.mark.parametrize("policy", [policy for policy in missing.POLICIES if policy != "impute"])
def test_words_become_unknown_and_numbers_stay_missing(policy: str) -> None:
    filled = missing.filled(
        manifest(group=["g"] * 4, meta_site=["x", None, "y", "y"], meta_age=[1, None, 3, 9]), policy
    )
    assert list(filled) == ["meta_site", "meta_age"]
    assert filled.index.tolist() == [3, 1, 2, 0]
    assert filled["meta_site"].tolist() == ["x", missing.UNKNOWN, "y", "y"]
    assert filled["meta_age"].isna().tolist() == [False, True, False, False]


def test_imputing_takes_the_median_and_the_most_frequent_word() -> None:
    filled = missing.filled(manifest(meta_site=["x", None, "y", "y"], meta_age=[1, None, 3, 9]), "impute")
    assert filled["meta_site"].tolist() == ["x", "y", "y", "y"]
    assert filled["meta_age"].tolist() == [1, 3, 3, 9]


def test_of_words_equally_frequent_the_first_of_the_alphabet_is_imputed() -> None:
    assert missing.filled(manifest(meta_site=["y", "x", None, None]), "impute")["meta_site"].tolist() == list("yxxx")


def test_nothing_to_impute_from_is_unknown() -> None:
    empty = manifest(meta_site=pd.array([pd.NA] * 4, dtype="string"), meta_age=[float("nan")] * 4)  # type: ignore[arg-type]
    filled = missing.filled(empty, "impute")
    assert filled["meta_site"].tolist() == [missing.UNKNOWN] * 4
    assert filled["meta_age"].isna().all()


def test_truth_values_are_words() -> None:
    frame = manifest(meta_indoors=pd.array([True, True, pd.NA, False], dtype="boolean"))  # type: ignore[arg-type]
    assert missing.filled(frame, "impute")["meta_indoors"].tolist() == ["True", "True", "True", "False"]
