"""Names of flow runs: flow, start, images and params.

``training 2026-11-28 17:03 · trash · 7b1c``: local time, the last part of the source's path, and the first digits of a
digest of params.yaml's values, which runs with the same settings share.
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
    """The name of a run before its params are read: the flow and the minute."""
    return f"{flow} {datetime.now().astimezone():%Y-%m-%d %H:%M}"


def run_name(flow: str, params: Mapping[str, Any], root: Path) -> str:
    """The name of a run that starts now. ``params`` has each stage's Params by stage name."""
    return f"{started(flow)} · {_source(params['ingest'].source, root)} · {digest(params)}"


def digest(params: Mapping[str, Any]) -> str:
    """The first digits of a digest of all values."""
    values = {name: dataclasses.asdict(section) for name, section in params.items()}
    text = json.dumps(values, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:DIGITS]


def _source(path: str, root: Path) -> str:
    name = (root / path).resolve().name or path
    # a name that is not valid UTF-8 cannot be sent to a server
    name = name.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
