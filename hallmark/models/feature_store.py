"""Stored features of one network: a SQLite file that is read by content digest, without the entries not asked for.

A write is one transaction, so a kill leaves all of it or nothing, and processes may share the file. The oldest entries
are deleted beyond ``most_bytes``. Failures of the file (full disk, no permission, damage) raise MachineError.

>>> import tempfile
>>> from pathlib import Path
>>> with tempfile.TemporaryDirectory() as folder:
...     path = Path(folder) / "features.sqlite"
...     write(path, ["a", "b"], np.array([[1, 2], [3, 4]], np.float32))
...     read(path, ["b", "c"])
{'b': array([3., 4.], dtype=float32)}
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import numpy as np

from hallmark.contracts.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Features = NDArray[np.float32]

MOST_BYTES = 4 * 2**30  # of one network's features: 800 000 images of 1280 features
_WAIT = 60.0  # seconds to wait for another process's write
_TYPE = np.dtype("<f4")


def read(path: Path, digests: Sequence[str]) -> dict[str, Features]:
    """The stored features float32 ``[features]`` by digest; digests that are not stored are missing."""
    if not path.exists():
        return {}
    known: dict[str, Features] = {}
    with _opened(path) as file:
        file.execute("BEGIN")  # one lock for all queries
        for digest in digests:
            row = file.execute("SELECT value FROM features WHERE digest = ?", (digest,)).fetchone()
            if row is not None:
                known[digest] = np.frombuffer(row[0], _TYPE)
    return known


def write(path: Path, digests: Sequence[str], values: Features, *, most_bytes: int = MOST_BYTES) -> None:
    """Adds the features float32 ``[images, features]`` of these digests; what is stored already stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = ((digest, value.astype(_TYPE).tobytes()) for digest, value in zip(digests, values, strict=True))
    most = most_bytes // (values.shape[1] * _TYPE.itemsize)
    with _opened(path) as file, file:
        file.executemany("INSERT OR IGNORE INTO features (digest, value) VALUES (?, ?)", rows)
        file.execute("DELETE FROM features WHERE number <= (SELECT max(number) FROM features) - ?", (most,))


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(path, timeout=_WAIT)) as file:
            # numbers never return, so that the smallest are the oldest
            file.execute(
                "CREATE TABLE IF NOT EXISTS features "
                "(number INTEGER PRIMARY KEY AUTOINCREMENT, digest TEXT NOT NULL UNIQUE, value BLOB NOT NULL)"
            )
            yield file
    except sqlite3.DatabaseError as error:
        raise MachineError(
            f"the cached image features in {path} cannot be used: {error}",
            remedy="free disk space or delete the file; it is computed again",
        ) from error
