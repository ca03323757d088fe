"""Spellings of one text are one class, similar texts are reported, and lists are refused."""

from __future__ import annotations

import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hallmark.contracts.errors import InputError
from hallmark.images import labels

NFC, NFD = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize(
    ("counts", "numbers", "wanted"),
    [
        ({NFC: 1, NFD: 9}, False, {NFC: NFC, NFD: NFC}),
        ({"dog": 3, "dog ": 5, "\u00a0dog": 1, "\ufeffdog\u200b": 1}, False, dict.fromkeys(
            ("dog", "dog ", "\u00a0dog", "\ufeffdog\u200b"), "dog")),
        ({"1": 5, "1.0": 5, "1.": 1, "1e0": 2, "10E-1": 1}, True, dict.fromkeys(
            ("1", "1.0", "1.", "1e0", "10E-1"), "1")),
        ({"1": 4, "1.0": 5}, True, {"1": "1.0", "1.0": "1.0"}),
        ({"-0": 1, "0.00": 1, "0": 1}, True, dict.fromkeys(("-0", "0.00", "0"), "0")),
        ({"1": 5, "1.0": 5}, False, {"1": "1", "1.0": "1.0"}),
        ({"1.0": 2, "cat": 3, "1": 3}, True, {"1.0": "1", "cat": "cat", "1": "1"}),
    ],
)  # fmt: skip
def test_spellings_of_one_text_are_one_class(counts: dict[str, int], numbers: bool, wanted: dict[str, str]) -> None:
    assert labels.classes(counts, numbers=numbers) == wanted


@pytest.mark.parametrize(
    "apart",
    [
        ("1", "01", "001"),
        ("1", "-1", "+1"),
        ("1.1", "1.10"),  # chapters
        ("1", "\uff11"),
        ("Cat", "cat"),
        ("C", "C++", "C#"),
        ("True", "1", "true"),
        ("12345678901234567890123456789012", "12345678901234567890123456789013"),
        ("9007199254740993", "9007199254740992.0"),
        ("1e400", "1e401"),
        ("\u0915\u094d\u200d", "\u0915\u094d"),  # joined letters
    ],
)
def test_what_is_not_the_same_text_stays_apart(apart: tuple[str, ...]) -> None:
    assert len(set(labels.classes(dict.fromkeys(apart, 1), numbers=True).values())) == len(apart)


@pytest.mark.parametrize(
    "group",
    [
        ("Cat", "cat"),
        ("fire-truck", "fire truck", "Fire_Truck", "firetruck"),
        ("stra\u00dfe", "strasse"),
        ("1", "\uff11", "01"),
        ("0.5", "0.50"),
        ("1", "1.0"),
        ("dog", "dog."),
        ("a\u00a0b", "a b"),
        ("TRUE", "true"),
    ],
)
def test_near_spellings_are_reported_with_counts(group: tuple[str, ...]) -> None:
    counts = {name: number for number, name in enumerate(group, 1)}
    assert labels.similar({**counts, "other": 9}) == [dict(sorted(counts.items()))]
    (line,) = labels.notices(labels.account((name, name) for name in group))
    assert all(f"{labels.shown(name)} (1)" in line for name in group)


@pytest.mark.parametrize(
    "names",
    [("1", "-1"), ("1.5", "15"), ("+", "-"), ("<5", ">5"), ("C", "C++"), ("\u2764", "\u2665"), ("caf\u00e9", "cafe"),
     ("!", "?")],
)  # fmt: skip
def test_other_names_are_not_called_near(names: tuple[str, ...]) -> None:
    assert labels.similar(dict.fromkeys(names, 1)) == []


@given(st.dictionaries(st.text(max_size=6), st.integers(1, 5), max_size=8), st.booleans())
def test_a_class_is_one_of_its_spellings_and_settles(counts: dict[str, int], numbers: bool) -> None:
    classes = labels.classes(counts, numbers=numbers)
    assert set(classes) == set(counts)
    assert all(unicodedata.is_normalized("NFC", name) for name in classes.values())
    assert set(classes.values()) <= {labels.trimmed(label) for label in counts}
    again = labels.classes(Counter(classes.values()), numbers=numbers)
    assert all(again[name] == name for name in again)


@given(st.lists(st.sampled_from(["a", " a", "b", "1", "1.0", "01", NFC, NFD]), max_size=12))
def test_the_order_of_rows_does_not_matter(rows: list[str]) -> None:
    assert labels.classes(Counter(rows), numbers=True) == labels.classes(Counter(reversed(rows)), numbers=True)
    pairs = [(labels.trimmed(label), label) for label in rows]
    assert labels.account(pairs) == labels.account(reversed(pairs))


@pytest.mark.parametrize(
    "cells",
    [
        ["[0, 1]", "[0]"],
        ["[0]"],
        ['["cat", "dog"]', '["cat"]'],
        ["['cat']", "['dog']"],
        ["(1, 2)", "(1, 3)"],
        ["{0, 1}", "{1}"],
        ["[1 0 0]", "[0 1 0]"],
        ["[1, 0]", "[0, 1]"],
        ["cat;dog", "cat", "dog"],
        ["Mass|Effusion", "Mass", "Effusion", "No Finding"],
        ["cat, dog", "cat", "dog"],
        ["[]", "[3]"],
    ],
)
def test_lists_are_refused_by_name(cells: list[str]) -> None:
    with pytest.raises(InputError, match=r"m\.csv is multi-label: .* as its label, such as .*; give each"):
        labels.refuse_lists(Counter(cells), "m.csv")


@pytest.mark.parametrize(
    "cells",
    [
        ["[unclear]", "cat"],
        ["(none)", "cat"],
        ["[0, 9]", "[10, 19]", "[20, 29]"],
        ["(0, 10]", "(10, 20]"],
        ["animal|cat", "animal|dog"],
        ["salt; pepper", "salt"],
        ["Panthera leo", "Panthera", "leo"],
        ["{brace}", "3"],
        [":)", ":("],
    ],
)
def test_labels_that_only_look_like_lists_are_labels(cells: list[str]) -> None:
    labels.refuse_lists(Counter(cells), "m.csv")
