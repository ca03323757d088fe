"""The page a person reads: one file, no network, no script, the same bytes for the same inputs."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from hallmark.images.shards import Reader
from hallmark.reporting import words
from hallmark.reporting.data_section import data_section
from hallmark.reporting.judgement_section import headline, judgement_section
from hallmark.reporting.lineage_section import what_ran
from hallmark.reporting.training_section import training_section
from hallmark.reporting.warnings_section import warnings_of

if TYPE_CHECKING:
    from hallmark.reporting.inputs import Inputs

TEMPLATES = Path(__file__).parent / "templates"
CONTENTS = (
    ("summary", "In short"),
    ("data", "Data"),
    ("training", "Training"),
    ("judgement", "Test"),
    ("lineage", "Lineage"),
)


def render(inputs: Inputs, *, title: str, gallery: int, mistakes: int, side: int) -> str:
    """The page. ``gallery`` and ``mistakes`` are how many pictures a gallery shows, ``side`` their side in pixels."""
    with Reader(inputs.folders["ingest"]) as reader:
        context: dict[str, Any] = {
            "title": title,
            "head": headline(inputs),
            "contents": CONTENTS,
            "data": data_section(inputs, reader, most=gallery, side=side),
            "training": training_section(inputs),
            "judgement": judgement_section(inputs, reader, most=mistakes, side=side),
            "ran": what_ran(inputs),
            "source_digest": inputs.reports["ingest"]["digest"],
            "lineage": inputs.reports["register"]["lineage"],
            "warnings": warnings_of(inputs),
        }
    return environment().get_template("page.html").render(context)


@cache
def environment() -> Environment:
    """The templates; what they name and nobody gave raises."""
    env = Environment(
        loader=FileSystemLoader(TEMPLATES),
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
        style=Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),  # noqa: S704  our own file
    )
    return env


def sentence(text: str) -> str:
    """The text with a capital and a full stop.

    >>> sentence("no champion yet")
    'No champion yet.'
    """
    text = text.strip()
    return text if not text else text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")
