"""Reading cached image features: one SQLite file by digest, against a folder of .npz files that is read whole.

    python benchmarks/feature_cache.py [--entries 100000] [--asked 2000] [--draws 5]

Random features of 1280 numbers, as efficientnet-lite0's. The folder holds 2048 entries a file, as the cache did
before. Both answer the same random digests in turn, files in the page cache; both must give the same values.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hallmark.models import feature_store

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Features = NDArray[np.float32]

WIDTH = 1280
SAVED = 2048


def whole(folder: Path) -> dict[str, Features]:
    """Every entry of the folder."""
    known: dict[str, Features] = {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as stored:
            known |= zip(stored["digests"].tolist(), stored["features"], strict=True)
    return known


def fill(folder: Path, store: Path, digests: list[str]) -> tuple[float, float]:
    """Writes the same entries to both; the seconds of each."""
    generator = np.random.default_rng(0)
    seconds = [0.0, 0.0]
    for start in range(0, len(digests), SAVED):
        part = digests[start : start + SAVED]
        values = generator.standard_normal((len(part), WIDTH), dtype=np.float32)
        began = time.perf_counter()
        np.savez(folder / f"{start:08}.npz", digests=np.array(part), features=values)
        between = time.perf_counter()
        feature_store.write(store, part, values)
        seconds[0] += between - began
        seconds[1] += time.perf_counter() - between
    return seconds[0], seconds[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--asked", type=int, default=2000)
    parser.add_argument("--draws", type=int, default=5)
    args = parser.parse_args()
    digests = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(args.entries)]
    with tempfile.TemporaryDirectory() as scratch:
        folder, store = Path(scratch) / "folder", Path(scratch) / "features.sqlite"
        folder.mkdir()
        writing = fill(folder, store, digests)
        print(f"{args.entries} entries written: folder {writing[0]:.1f} s, store {writing[1]:.1f} s")
        ratios = []
        for draw in range(args.draws):
            asked = np.random.default_rng(draw).choice(digests, args.asked, replace=False).tolist()
            began = time.perf_counter()
            known = whole(folder)
            before = np.stack([known[digest] for digest in asked])
            between = time.perf_counter()
            known = feature_store.read(store, asked)
            after = np.stack([known[digest] for digest in asked])
            end = time.perf_counter()
            assert np.array_equal(before, after)
            del known
            ratios.append((between - began) / (end - between))
            print(f"{args.asked} read: folder {between - began:.3f} s, store {end - between:.3f} s, {ratios[-1]:.0f} x")
        low, high = min(ratios), max(ratios)
        print(f"ratio: median {statistics.median(ratios):.0f} x, {low:.0f} to {high:.0f} over {args.draws} draws")


if __name__ == "__main__":
    main()
