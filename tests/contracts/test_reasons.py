"""The ``;``-joined texts of reasons behave as sets in a closed order, row by row and in columns."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallmark.contracts.reasons import (
    REASONS,
    add_reasons,
    adding,
    counts,
    has_reason,
    having,
    join_reasons,
    split_reasons,
    without_reasons,
)

ROOT = Path(__file__).parents[2]
sets = st.sets(st.sampled_from(REASONS))
columns = st.lists(sets, max_size=12)


def column(rows: list[set[str]]) -> pd.Series:
    return pd.Series([join_reasons(each) for each in rows], dtype="string")


def test_every_reason_is_in_the_closed_list_once() -> None:
    assert len(REASONS) == len(set(REASONS)) == 31
    assert not any(";" in reason for reason in REASONS)
    with pytest.raises(AssertionError, match=r"closed list of reasons: \['ugly'\]"):
        join_reasons({"ugly"})
    with pytest.raises(AssertionError, match="closed list"):
        add_reasons("blurry", "dark")


def test_no_reason_is_an_empty_text() -> None:
    assert join_reasons([]) == without_reasons("blurry", "blurry") == ""
    assert split_reasons("") == ()
    assert not has_reason("", "blurry")


def test_part_of_a_reason_is_not_the_reason() -> None:
    assert not has_reason("near_duplicate", "duplicate", "near")
    assert without_reasons("near_duplicate", "near") == "near_duplicate"


@given(sets)
def test_a_text_has_each_reason_once_in_the_closed_order(reasons: set[str]) -> None:
    text = join_reasons([*reasons, *reasons])
    assert split_reasons(text) == tuple(sorted(reasons, key=REASONS.index))


@given(sets, sets)
def test_texts_are_sets(first: set[str], second: set[str]) -> None:
    text = join_reasons(first)
    assert add_reasons(text, *second) == join_reasons(first | second)
    assert without_reasons(text, *second) == join_reasons(first - second)
    assert has_reason(text, *second) == bool(first & second)


@given(columns, sets)
def test_a_column_is_searched_row_by_row(rows: list[set[str]], wanted: set[str]) -> None:
    assert having(column(rows), wanted).tolist() == [bool(each & wanted) for each in rows]


@given(st.lists(st.tuples(sets, sets), max_size=12))
def test_a_column_is_added_to_row_by_row(rows: list[tuple[set[str], set[str]]]) -> None:
    chosen = {reason: np.array([reason in more for _, more in rows], bool) for reason in REASONS}
    added = adding(column([before for before, _ in rows]), chosen)
    assert added.tolist() == [join_reasons(before | more) for before, more in rows]


@given(columns)
def test_the_counts_of_a_column(rows: list[set[str]]) -> None:
    by_reason = counts(column(rows))
    assert by_reason == {name: n for name in REASONS if (n := sum(name in each for each in rows))}
    assert list(by_reason) == sorted(by_reason, key=REASONS.index)


def test_a_missing_text_has_no_reason_and_rows_keep_their_index() -> None:
    missing = pd.Series([pd.NA, "blurry"], index=[7, 3], dtype="string")
    assert having(missing, ["blurry"]).tolist() == [False, True]
    assert counts(missing) == {"blurry": 1}
    added = adding(missing, {"too_dark": np.array([True, False])})
    assert added.to_dict() == {7: "too_dark", 3: "blurry"}


def test_no_other_module_takes_the_texts_apart() -> None:
    modules = [path for folder in ("flows", "tasks", "hallmark") for path in sorted((ROOT / folder).rglob("*.py"))]
    assert len(modules) > 200
    apart = re.compile(r"""split\(";"\)|";"\.join|";" \+|reasons"\]\.str\.""")
    users = [path.relative_to(ROOT).as_posix() for path in modules if apart.search(path.read_text(encoding="utf-8"))]
    assert users == ["hallmark/contracts/reasons.py", "hallmark/reviewing/server.py"]  # the latter's are HTTP headers
