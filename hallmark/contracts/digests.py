"""SHA-256 of files, as hexadecimal text."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def of_file(path: Path) -> str:
    """The digest of a file's bytes, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_named(digests: Iterable[tuple[str, str | None]]) -> str:
    """The digest of several files, from their names and digests in order.

    >>> of_named([("a", "1"), ("b", "2")])[:8]
    '1a04f75b'
    """
    total = hashlib.sha256()
    for name, digest in digests:
        total.update(f"{name}\0{digest}\n".encode())
    return total.hexdigest()
