"""Adds the keys that params.yaml lacks, as after an upgrade, with the values and comments of a template.

The rest of the file stays as it is, byte for byte.
"""

from __future__ import annotations

from hallmark.pipeline.params import Document


def completed(text: str, template: str, *, name: str) -> tuple[str, list[str]]:
    """The text of params.yaml with all keys of the template, and the dotted keys that are new.

    A key is placed after the one that precedes it in the template, with its comments. Keys below a value in braces are
    the user's own and are not added.

    >>> completed("a:\\n  x: 1\\n", "a:\\n  x: 0\\n  # how many\\n  y: 2\\n", name="params.yaml")
    ('a:\\n  x: 1\\n  # how many\\n  y: 2\\n', ['a.y'])
    """
    source, mine = Document(template, name=name), Document(text, name=name)
    known = template.splitlines()
    added: list[str] = []
    for dotted in source.lines:
        parent, _, _ = dotted.rpartition(".")
        if dotted in mine.lines:
            continue
        lines = text.splitlines()
        if parent and (parent not in mine.lines or _end(lines, mine.lines[parent]) == mine.lines[parent]):
            continue
        siblings = [key for key in source.lines if key.rpartition(".")[0] == parent and key in mine.lines]
        before = [key for key in siblings if source.lines[key] < source.lines[dotted]]
        place = _end(lines, mine.lines[before[-1]]) if before else mine.lines[parent] if parent else 0
        first, last = _start(known, source.lines[dotted]), _end(known, source.lines[dotted])
        block = known[first - 1 : last]
        if not parent:
            block = ["", *block] if place else [*block, ""]
        text = "\n".join([*lines[:place], *block, *lines[place:]]) + "\n"
        mine = Document(text, name=name)
        added.append(dotted)
    return text, added


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _start(lines: list[str], number: int) -> int:
    """The first of the comment lines directly above a key, which is in line ``number``; lines count from 1."""
    indent = _indent(lines[number - 1])
    while number > 1 and lines[number - 2].lstrip().startswith("#") and _indent(lines[number - 2]) == indent:
        number -= 1
    return number


def _end(lines: list[str], number: int) -> int:
    """The last line of the value of the key in line ``number``."""
    indent, last = _indent(lines[number - 1]), number
    for position in range(number + 1, len(lines) + 1):
        line = lines[position - 1]
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if _indent(line) < indent or (_indent(line) == indent and not line.lstrip().startswith("- ")):
            break
        last = position
    return last
