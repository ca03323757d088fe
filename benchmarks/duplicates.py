"""Time and memory of the near-duplicate search among many 64-bit hashes.

    .venv/bin/python -m benchmarks.duplicates --count 1000000 --distance 4 8

The hashes are random, with planted copies in which 0 to ``distance`` bits are changed. For each distance a separate
process finds all pairs and clusters them. Printed are its wall and CPU seconds, its peak memory, and whether every
planted pair was found.

    .venv/bin/python -m benchmarks.duplicates --small /path/to/fashion_mnist --count 20000

instead runs ingest, validate and split on that many images of Fashion-MNIST (its official IDX files), including its
10 000 test images. They are small and similar, so that many hashes are near and most time goes into comparing images.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def hashes(count: int, copies: int, distance: int, seed: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """``count`` hashes of which the last ``copies`` are changed copies, and the original of each copy."""
    random = np.random.default_rng(seed)
    made = random.integers(0, 2**64, count, dtype=np.uint64)
    originals = random.permutation(count - copies)[:copies]
    changed = np.zeros(copies, np.uint64)
    for number in range(copies):
        bits = random.permutation(64)[: number % (distance + 1)]
        changed[number] = sum(1 << int(bit) for bit in bits)
    made[count - copies :] = made[originals] ^ changed
    return made, originals


def measure(count: int, distance: int, seed: int) -> None:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    from hallmark.quality.hash_pairs import near_pairs

    copies = count // 50
    made, originals = hashes(count, copies, distance, seed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started, worked = time.perf_counter(), time.process_time()
    unique, which = np.unique(made, return_inverse=True)
    i, j = near_pairs(unique, distance)
    graph = coo_array((np.ones(len(i), np.int8), (i, j)), shape=(len(unique), len(unique)))
    clusters, component = connected_components(graph, directed=False)
    seconds, worked = time.perf_counter() - started, time.process_time() - worked
    cluster = component[which]
    found = int((cluster[count - copies :] == cluster[originals]).sum())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{count:>9} hashes, distance {distance:>2}: {seconds:6.1f} s ({worked:.1f} s of one core), "
        f"peak {peak:.0f} MiB ({before:.0f} before), {found} of {copies} planted copies found, "
        f"{count - clusters} hashes joined to others"
    )


def measure_small(data: Path, count: int) -> None:
    """Prints time and memory of split, as a stage in a separate process."""
    from benchmarks.workspaces import call, workspace

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        workspace(folder, data, count - 10_000)
        for stage in ("ingest", "validate", "split"):
            call(folder, "-m", "tasks", stage)
        seconds = {
            name: told["seconds"] for name, told in json.loads((folder / "reports" / "run.json").read_text()).items()
        }
        found = json.loads((folder / "reports" / "split.json").read_text())
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(
        f"{found['n_images']} images: "
        + ", ".join(f"{name} {spent:.1f} s" for name, spent in seconds.items())
        + f"; {found['clusters']['images']} images in clusters; at most {peak:.0f} MiB a process"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--distance", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--small", type=Path, metavar="DATA", help="folder of Fashion-MNIST: split its images instead")
    parser.add_argument("--one", action="store_true", help="measure one distance in this process")
    options = parser.parse_args()
    if options.small:
        measure_small(options.small, options.count)
        return
    if options.one:
        measure(options.count, options.distance[0], options.seed)
        return
    for distance in options.distance:
        command = [sys.executable, "-m", "benchmarks.duplicates", "--one", "--count", str(options.count)]
        command += ["--distance", str(distance), "--seed", str(options.seed)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
