"""Reads MLflow's SQLite store without importing MLflow, for decisions that must be fast.

If a query does not fit MLflow's tables (another version of MLflow), or the file needs a recovery that a reader cannot
do, the result is :data:`UNKNOWN` and the caller uses MLflow's client.
"""

from __future__ import annotations

import enum
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


class Unknown(enum.Enum):
    """The type of :data:`UNKNOWN`."""

    UNKNOWN = enum.auto()


UNKNOWN = Unknown.UNKNOWN


@dataclass(frozen=True, kw_only=True)
class Version:
    """A model version; ``folder`` holds its files, None if only MLflow's client can resolve it."""

    number: int
    tags: dict[str, str]
    folder: str | None


def running(path: Path) -> dict[str, dict[str, str]] | Unknown:
    """The tags of each run in state RUNNING, by run id."""
    rows = _query(
        path,
        "SELECT r.run_uuid, t.key, t.value FROM runs r JOIN tags t ON t.run_uuid = r.run_uuid "
        "WHERE r.status = 'RUNNING' AND r.lifecycle_stage = 'active'",
        (),
    )
    if isinstance(rows, Unknown):
        return rows
    tags_by_run: dict[str, dict[str, str]] = {}
    for run, key, value in rows:
        tags_by_run.setdefault(run, {})[key] = value
    return tags_by_run


def alias(path: Path, name: str, alias: str) -> Version | Unknown | None:
    """The version that an alias points to, None if there is none."""
    rows = _query(path, "SELECT version FROM registered_model_aliases WHERE name = ? AND alias = ?", (name, alias))
    if isinstance(rows, Unknown):
        return rows
    return version(path, name, int(rows[0][0])) if rows else None


def version(path: Path, name: str, number: int) -> Version | Unknown | None:
    """A version by its number, None if there is none."""
    sources = _query(
        path,
        "SELECT COALESCE(storage_location, source) FROM model_versions "
        "WHERE name = ? AND version = ? AND current_stage <> 'Deleted_Internal'",
        (name, number),
    )
    tags = _query(path, "SELECT key, value FROM model_version_tags WHERE name = ? AND version = ?", (name, number))
    if isinstance(sources, Unknown) or isinstance(tags, Unknown):
        return UNKNOWN
    if not sources:
        return None
    return Version(number=number, tags=dict(tags), folder=sources[0][0])


def _query(path: Path, statement: str, values: tuple[Any, ...]) -> list[Any] | Unknown:
    if not path.exists() or path.stat().st_size == 0:
        return []
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=20)) as connection:
            return connection.execute(statement, values).fetchall()
    except sqlite3.DatabaseError:
        return UNKNOWN
