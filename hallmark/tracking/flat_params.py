"""Nested params as dotted names and text, as MLflow stores them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_LENGTH = 6000  # characters of a param's value, MLflow's limit


def shortened(params: Mapping[str, object]) -> dict[str, str]:
    """:func:`flatten`, with values cut to MLflow's limit."""
    return {name: value[:_LENGTH] for name, value in flatten(params).items()}


def flatten(params: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Nested params as dotted names and text; a section with a name that MLflow rejects becomes JSON.

    >>> flatten({"optimizer": {"name": "adamw", "lr": 0.1}, "epochs": 3})
    {'optimizer.name': 'adamw', 'optimizer.lr': '0.1', 'epochs': '3'}
    >>> flatten({"costs": {"cat (black)": {"dog": 2.0}}})
    {'costs': '{"cat (black)": {"dog": 2.0}}'}
    """
    flat: dict[str, str] = {}
    for name, value in params.items():
        if isinstance(value, dict) and not _is_named_plainly(value):
            flat[f"{prefix}{name}"] = json.dumps(value, ensure_ascii=False)
        elif isinstance(value, dict):
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = str(value)
    return flat


def _is_named_plainly(section: Mapping[str, object]) -> bool:
    """Whether MLflow accepts all names of a section and of its subsections in a param's name."""
    return all(
        re.fullmatch(r"[\w .:-]+", name) is not None and (not isinstance(value, dict) or _is_named_plainly(value))
        for name, value in section.items()
    )
