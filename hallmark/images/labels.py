"""Labels: which spellings are one class, which look like one, and which are lists.

Spellings that are the same text are one class: equal in Unicode's composed form (NFC) once the space and the invisible
characters around them are gone; in a CSV, where numbers have no type, ``1`` and ``1.0`` too. The class has the
commonest spelling. Spellings that differ only in case, spacing or punctuation are reported and kept.

>>> classes({"dog": 5, "dog ": 2, "Dog": 1})
{'dog': 'dog', 'dog ': 'dog', 'Dog': 'Dog'}
>>> classes({"1.0": 5, "1": 2, "01": 2}, numbers=True)
{'1.0': '1.0', '1': '1.0', '01': '01'}
>>> similar({"dog": 7, "Dog": 1, "cat": 3})
[{'Dog': 1, 'dog': 7}]
"""

from __future__ import annotations

import ast
import itertools
import json
import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, Any

from hallmark.contracts.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

# no glyph of their own, and no part of an emoji or of a script that joins its letters by them
_INVISIBLE = (
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
)
_AROUND = re.compile(rf"^[\s\x00-\x1f\x7f-\x9f{_INVISIBLE}]+|[\s\x00-\x1f\x7f-\x9f{_INVISIBLE}]+$")
_NUMBER = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]{1,4}))?")
_ANY_NUMBER = re.compile(r"([+-]?)0*([0-9]+)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]{1,4}))?")
_SEPARATORS = ";|,"
#: The remedy where an image has several labels.
ONE = "give each image one class: Hallmark trains single-label classifiers"


def trimmed(text: str) -> str:
    """Text in NFC, without space and invisible characters around it.

    >>> trimmed("\\ufeff u\\u0308ber\\u00a0") == "\\u00fcber"
    True
    """
    return unicodedata.normalize("NFC", bare(text))


def bare(text: str) -> str:
    """Text without space and invisible characters around it."""
    return _AROUND.sub("", text)


def classes(counts: Mapping[str, int], *, numbers: bool = False) -> dict[str, str]:
    """The class of each label as found, of which ``counts`` says how many there are.

    ``numbers``: they are cells without a type, so that whole numbers are compared by value. Of equally common
    spellings the shortest is the class's, then the first in the order of code points.
    """
    spellings: dict[str, dict[str, int]] = {}
    for label, count in counts.items():
        text = trimmed(label)
        of_class = spellings.setdefault(_same(text, numbers), {})
        of_class[text] = of_class.get(text, 0) + count
    names = {
        key: min(of_class, key=lambda text: (-of_class[text], len(text), text)) for key, of_class in spellings.items()
    }
    return {label: names[_same(trimmed(label), numbers)] for label in counts}


def settled(texts: Iterable[str | None], *, numbers: bool) -> dict[str | None, str]:
    """The class of each text that occurs, by :func:`classes`."""
    counts = Counter(text for text in texts if text is not None)
    names: dict[str | None, str] = {}
    names.update(classes(counts, numbers=numbers))
    return names


def similar(counts: Mapping[str, int]) -> list[dict[str, int]]:
    """Classes that differ in case, width, spacing or punctuation alone, or are one number, with counts."""
    groups: dict[str, dict[str, int]] = {}
    for name in sorted(counts):
        groups.setdefault(_near(name), {})[name] = counts[name]
    return [group for group in groups.values() if len(group) > 1]


def account(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Merged and similar spellings, with counts, from the (class, original label) of each image.

    ``merged``: the classes with several spellings, formatted by :func:`shown`; ``similar``: the groups of
    :func:`similar`.
    """
    spellings: dict[str, Counter[str]] = {}
    for name, label in pairs:
        spellings.setdefault(name, Counter())[label] += 1
    return {
        "merged": {
            name: {shown(label): counts[label] for label in sorted(counts)}
            for name, counts in sorted(spellings.items())
            if len(counts) > 1
        },
        "similar": similar({name: counts.total() for name, counts in spellings.items()}),
    }


def shown(label: str) -> str:
    """A label in which space around it, invisible characters and the form of letters can be seen.

    >>> shown("u\\u0308ber"), shown("dog ")
    ("'u\\\\u0308ber'", "'dog '")
    """
    return repr(label) if unicodedata.is_normalized("NFC", label) else ascii(label)


def notices(spellings: Mapping[str, Any]) -> list[str]:
    """The account in a sentence for each group of similar classes."""
    return [
        "The classes "
        + ", ".join(f"{shown(name)} ({count})" for name, count in group.items())
        + " differ in case, spacing or punctuation alone and are kept apart: give them one label if they are one class."
        for group in spellings["similar"]
    ]


def refuse_lists(counts: Mapping[str, int], name: str) -> None:
    """Raises InputError where the cells of a column are lists of labels, as tables without types write them.

    A list is a cell in brackets that Python or JSON reads as one. So are cells joined by ``;``, ``|`` or commas where
    every part is a label of its own. Brackets that may be the ranges of numbers of a class each (``[0, 9]``,
    ``[10, 19]``) are none.
    """
    lists = {label: value for label in counts if (value := _list(label)) is not None}
    if lists and not _are_ranges(list(lists.values())):
        raise multi_label(name, min(lists), sum(counts[label] for label in lists))
    texts = {trimmed(label) for label in counts}
    for separator in _SEPARATORS:
        joined = [
            label
            for label in counts
            if separator in label and {trimmed(part) for part in label.split(separator)} <= texts - {""}
        ]
        if joined:
            raise multi_label(name, min(joined), sum(counts[label] for label in joined))


def multi_label(name: str, example: str, count: int) -> InputError:
    """The refusal of a source whose images have several labels each."""
    rows = "1 row has" if count == 1 else f"{count} rows have"
    return InputError(
        f"{name} is multi-label: {rows} a list as its label, such as {example}", remedy=ONE, field="source"
    )


def _same(text: str, numbers: bool) -> str:
    value = _whole(text) if numbers else None
    return text if value is None else f"number {value}"


def _whole(text: str) -> str | None:
    """A whole number, however it is written, as its digits; None for other text and for codes such as ``01``."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    value = _digits(*match.groups())
    return None if "." in value else value


def _digits(sign: str, whole: str, fraction: str | None, exponent: str | None) -> str:
    """A decimal number in one spelling, without rounding."""
    digits, power = whole + (fraction or ""), int(exponent or 0) - len(fraction or "")
    digits = digits.lstrip("0")
    if not digits:
        return "0"
    stripped = digits.rstrip("0")
    power += len(digits) - len(stripped)
    text = f"{stripped}e{power}" if power >= 0 else f"{stripped}.e{power}"
    return ("-" if sign == "-" else "") + text


def _near(name: str) -> str:
    """What is left of a label without case, width, spacing and punctuation; of a number its value."""
    wide = unicodedata.normalize("NFKC", name)
    number = _ANY_NUMBER.fullmatch(wide)
    if number is not None:
        return f"number {_digits(*number.groups())}"
    letters = unicodedata.normalize("NFKC", wide.casefold())
    remaining = "".join(sign for sign in letters if unicodedata.category(sign)[0] not in "PZC")
    return remaining or name


def _list(label: str) -> list[Any] | None:
    """A cell that is written as a list, tuple or set."""
    text = trimmed(label)
    if len(text) < 2 or (text[0], text[-1]) not in (("[", "]"), ("(", ")"), ("{", "}")):
        return None
    readers: tuple[Callable[[str], Any], ...] = (json.loads, ast.literal_eval)
    for read in readers:
        try:
            value = read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(value, list | tuple | set | frozenset):
            return list(value)
    # NumPy writes no commas: [0 1]
    inside = text[1:-1].split()
    return inside if text[0] == "[" and all(map(_ANY_NUMBER.fullmatch, inside)) else None


def _are_ranges(lists: list[list[Any]]) -> bool:
    """Whether bracketed pairs of numbers may be the ranges of a class each: rising, and no two overlap."""
    if not all(
        len(pair) == 2 and all(isinstance(end, int | float) for end in pair) and pair[0] < pair[1] for pair in lists
    ):
        return False
    ordered = sorted(lists)
    return all(before[1] <= after[0] for before, after in itertools.pairwise(ordered))
