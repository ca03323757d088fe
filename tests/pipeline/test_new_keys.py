"""Missing keys come back with their values and comments, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from hallmark.pipeline.new_keys import completed
from hallmark.pipeline.params import Document

PARAMS = (Path(__file__).parents[2] / "params.yaml").read_text(encoding="utf-8")
KEYS = Document(PARAMS, name="params.yaml").lines


def values(text: str) -> object:
    return Document(text, name="params.yaml").values


def complete(text: str, template: str) -> tuple[str, list[str]]:
    return completed(text, template, name="params.yaml")


def test_a_complete_file_stays() -> None:
    assert complete(PARAMS, PARAMS) == (PARAMS, [])


@pytest.mark.parametrize("key", [key for key in KEYS if key.count(".") == 1])
def test_each_key_comes_back_where_it_was(key: str) -> None:
    lines = PARAMS.splitlines(keepends=True)
    first = KEYS[key] - 1
    indent = len(lines[first]) - len(lines[first].lstrip())
    last = first + 1
    while last < len(lines) and lines[last].strip() and len(lines[last]) - len(lines[last].lstrip()) > indent:
        last += 1
    while lines[first - 1].startswith(" " * indent + "#"):
        first -= 1
    without = "".join([*lines[:first], *lines[last:]])
    assert values(without) != values(PARAMS)
    assert complete(without, PARAMS) == (PARAMS, [key])


def test_values_and_comments_of_the_user_stay() -> None:
    mine = "a:\n  # mine\n  x: 7  # seven\nown: {p: 1}\n"
    new, added = complete(
        mine, "first: 0\n\na:\n  # w\n  w: [1]\n  x: 1\n  y:\n    z: 2  # two\n  # end\n\nown: {q: 1}\n"
    )
    assert added == ["first", "a.w", "a.y"]
    assert new == ("first: 0\n\na:\n  # w\n  w: [1]\n  # mine\n  x: 7  # seven\n  y:\n    z: 2  # two\nown: {p: 1}\n")


def test_a_section_comes_whole_after_the_one_before_it() -> None:
    new, added = complete("a:\n  x: 1\nc: 3\n", "a:\n  x: 1\n\n# about b\nb:\n  y: 2\n  z:\n    - 1\n\nc: 0\n")
    assert added == ["b"]
    assert new == "a:\n  x: 1\n\n# about b\nb:\n  y: 2\n  z:\n    - 1\nc: 3\n"
