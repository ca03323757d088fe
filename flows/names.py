"""Names of flow runs: what ran, when, on which images, with which params.

``training 2026-11-28 17:03 · trash · 7b1c``: local time, the last part of the source's path, and the first digits of a
digest of params.yaml's values, by which runs of the same settings are known at a glance.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LONGEST = 40  # characters of the source's name
DIGITS = 4


def started(flow: str) -> str:
    """The name of a run whose params are not known yet: the flow and the minute."""
    return f"{flow} {datetime.now().astimezone():%Y-%m-%d %H:%M}"


def run_name(flow: str, params: Mapping[str, Any], root: Path) -> str:
    """The name of a run that starts now. ``params`` are the Params of every stage, by its name."""
    return f"{started(flow)} · {_source(params['ingest'].source, root)} · {digest(params)}"


def digest(params: Mapping[str, Any]) -> str:
    """The first digits of a digest over every value."""
    values = {name: dataclasses.asdict(section) for name, section in params.items()}
    text = json.dumps(values, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:DIGITS]


def _source(path: str, root: Path) -> str:
    name = (root / path).resolve().name or path
    # a name of bytes that are no UTF-8 cannot be sent to a server
    name = name.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
