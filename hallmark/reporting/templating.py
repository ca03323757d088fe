"""The templates of every page: HTML escaped, one style sheet and no other file beside it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from hallmark.reporting import words

TEMPLATES = Path(__file__).parent / "templates"


@cache
def environment(templates: Path = TEMPLATES) -> Environment:
    """The templates of a folder, its ``style.css`` as ``style``; what they name and nobody gave raises."""
    env = Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    env.filters["sentence"] = sentence
    env.globals.update(
        number=words.number,
        pairs=words.pairs,
        percent=words.percent,
        reasons_in_words=words.reasons_in_words,
        style=Markup((templates / "style.css").read_text(encoding="utf-8")),  # noqa: S704  our own file
    )
    return env


def sentence(text: str) -> str:
    """The text with a capital and a full stop.

    >>> sentence("no champion yet")
    'No champion yet.'
    """
    text = text.strip()
    return text if not text else text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")
