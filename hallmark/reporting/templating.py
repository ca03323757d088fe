"""The page templates: escaped HTML with embedded style and scripts, so a page is one file."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from hallmark.reporting import words

if TYPE_CHECKING:
    from collections.abc import Iterable

TEMPLATES = Path(__file__).parent / "templates"


@cache
def environment(*more: Path) -> Environment:
    """The templates of this room, and of the folders ``more`` of rooms that extend them.

    ``style``, ``viewer`` and ``run_script`` are the style sheet and scripts; a folder in ``more`` may replace them. An
    undefined name in a template raises.
    """
    folders = (*more, TEMPLATES)
    env = Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    env.filters.update(sentence=sentence, breakable=breakable)
    env.globals.update(
        number=words.number,
        pairs=words.pairs,
        percent=words.percent,
        reasons_in_words=words.reasons_in_words,
        signed=words.signed,
        span=words.span,
        style=_own("style.css", folders),
        viewer=_own("viewer.js", folders),
        run_script=_own("run.js", folders),
    )
    return env


def _own(name: str, folders: Iterable[Path]) -> Markup:
    """The text of the first such file, unescaped."""
    path = next(folder / name for folder in folders if (folder / name).exists())
    return Markup(path.read_text(encoding="utf-8"))  # noqa: S704  our own file


def breakable(path: str) -> Markup:
    """A path that may wrap after each folder.

    >>> str(breakable("a&b/c.png"))
    'a&amp;b/<wbr>c.png'
    """
    return Markup("/<wbr>").join(path.split("/"))


def sentence(text: str) -> str:
    """The text with an initial capital and a full stop.

    >>> sentence("no champion yet")
    'No champion yet.'
    """
    text = text.strip()
    return text if not text else text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")
