"""Randomness as an argument: every seed derives from the run's seed and the names of its use.

>>> derive(0, "train", "shuffle", 3) == derive(0, "train", "shuffle", 3)
True
>>> derive(0, "train", "shuffle", 3) == derive(0, "train", "shuffle", 4)
False
"""

from __future__ import annotations

import hashlib


def derive(seed: int, *names: str | int) -> int:
    """A seed in [0, 2**63) for one use, independent of every other use's."""
    text = "\x1f".join([str(seed), *(f"{type(name).__name__}:{name}" for name in names)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
