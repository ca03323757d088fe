"""Augmented images a second of each executor, by size, and the share of a training spent waiting for batches.

    .venv/bin/python -m benchmarks.loader

Both executors alternate in one process on one thread, measured in CPU time, so that other work on the machine affects
both equally. The second table trains for an epoch at each size, as train would, and reports the share of wall time in
which the loop waits for batches.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.measured import Quiet, default_recipe, trained
from hallmark.contracts import runtime
from hallmark.transforms import batched, policy
from hallmark.transforms.draws import keys
from hallmark.transforms.presets import resolve

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPES = ((8, 1), (28, 1), (28, 3), (48, 3), (64, 3), (128, 3), (224, 3))


def rate(work: Callable[[], None], images: int, seconds: float) -> float:
    """Images a CPU second."""
    started, done = time.process_time(), 0
    while time.process_time() - started < seconds:
        work()
        done += images
    return done / (time.process_time() - started)


def compared(preset: str, side: int, channels: int, *, rounds: int, seconds: float) -> tuple[float, float, float]:
    """Images a second batched and one by one (medians), and the median ratio within a round."""
    transforms = resolve(preset, field="preset")
    together = batched.build(transforms, height=side, width=side, channels=channels)
    single = policy.build(transforms, height=side, width=side, channels=channels)
    count = max(8, min(512, (1 << 20) // (side * side * channels)))
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, side, side, channels), dtype=np.uint8))
    marks = keys(seed=0, rows=np.arange(count), positions=np.arange(count))

    def at_once() -> None:
        together(images, marks)

    def one_by_one() -> None:
        for number, image in enumerate(images.numpy()[:8]):
            single(image, number)

    at_once()
    one_by_one()
    pairs = [(rate(at_once, count, seconds), rate(one_by_one, 8, seconds)) for _ in range(rounds)]
    first, second = (statistics.median(each) for each in zip(*pairs, strict=True))
    return first, second, statistics.median(a / b for a, b in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", default=["standard", "strong"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.3, help="CPU seconds of each measurement")
    parser.add_argument("--no-training", action="store_true", help="only the first table")
    options = parser.parse_args()
    torch.set_num_threads(1)
    import cv2

    cv2.setNumThreads(1)
    print(f"{'policy':<10} {'size':>9} {'batched/s':>10} {'one by one/s':>13} {'ratio':>6}   on a CPU train takes")
    for preset in options.presets:
        for side, channels in SHAPES:
            first, second, ratio = compared(preset, side, channels, rounds=options.rounds, seconds=options.seconds)
            takes = batched.executor(
                resolve(preset, field="preset"), height=side, width=side, channels=channels, device="cpu"
            )
            size = f"{side}x{side}x{channels}"
            print(f"{preset:<10} {size:>9} {first:10.0f} {second:13.0f} {ratio:6.1f}   {takes}", flush=True)
    if options.no_training:
        return
    print(f"\n{'size':>9} {'images':>7} {'loader wait':>12} {'images/s':>9}   augmentation")
    for side, channels, count in ((8, 1, 1200), (28, 1, 2000), (64, 3, 64)):
        with tempfile.TemporaryDirectory() as scratch:
            generator = np.random.default_rng(0)
            images = generator.integers(0, 256, (count, side, side, channels), dtype=np.uint8)
            labels = generator.integers(0, 10, count)
            done = trained(
                Path(scratch), images, labels, recipe=default_recipe(max_epochs=2), preset="standard", log=Quiet()
            )
        print(
            f"{f'{side}x{side}x{channels}':>9} {count:7d} {done.notes['loader_wait']:12.1%} "
            f"{done.notes['samples_per_second']:9.0f}   {done.notes['augmentation']}",
            flush=True,
        )


if __name__ == "__main__":
    runtime.prepare()
    main()
