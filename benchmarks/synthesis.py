"""Time to generate images, and the verdict of the gates on long-tailed data.

    .venv/bin/python -m benchmarks.synthesis speed
    .venv/bin/python -m benchmarks.synthesis gates --data /path/to/data --folder /new/folder --preset short

``speed`` times steps of every preset of ``flow_matching`` on images of 28 and 64 pixels, and the drawing of images, and
multiplies by the steps of a whole training (the time of a step does not depend on the pixels). ``gates`` draws a
long-tailed set (:mod:`benchmarks.long_tailed`), runs the stages from ingest to synthesize on it, and prints what
reports/synthesize.json says; the folder keeps reports/plots/synthesize/samples.png to look at.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hallmark.synthesis.presets import Preset

SIDES = {28: 1, 64: 3}  # pixels -> channels
CLASSES, DRAWN = 10, 64


def seconds_of(preset: Preset, side: int, steps: tuple[int, int]) -> tuple[float, float]:
    """Seconds per step, from the difference of two trainings, and to draw ``DRAWN`` images."""
    import numpy as np

    from hallmark.synthesis import parallel, training

    random = np.random.default_rng(0)
    images = random.integers(0, 256, (256, side, side, SIDES[side]), dtype=np.uint8)
    labels = np.arange(256) % CLASSES
    spent = []
    for count in (1, *steps):  # the first pays for imports and for the first use of each operation
        started = time.perf_counter()
        generator = training.train(
            images, labels, classes=CLASSES, preset=preset, steps=count, guidance=1.0, seed=0, checkpoints=None,
            machine=parallel.machine(),
        )  # fmt: skip
        spent.append(time.perf_counter() - started)
    started = time.perf_counter()
    generator(np.arange(DRAWN) % CLASSES, seed=0)
    return (spent[2] - spent[1]) / (steps[1] - steps[0]), time.perf_counter() - started


def speed() -> None:
    """Prints a Markdown table of minutes."""
    from hallmark.contracts import runtime
    from hallmark.synthesis.presets import PRESETS

    runtime.prepare()
    print(
        f"| preset | side | steps | ms a step | minutes of training | s for {DRAWN} images |\n|---|---|---|---|---|---|"
    )
    for name, preset in PRESETS.items():
        for side in SIDES:
            step, drawing = seconds_of(preset, side, (5, 25))
            steps = preset.steps_for(side, side)
            minutes = step * steps / 60
            print(f"| {name} | {side} | {steps} | {1000 * step:.0f} | {minutes:.1f} | {drawing:.1f} |", flush=True)


def gates(data: Path, folder: Path, preset: str, *, name: str, head: int, ratio: float, seed: int) -> None:
    """Prints the verdict and each gate's figures."""
    from benchmarks import long_tailed
    from benchmarks.workspaces import BEFORE_TRAIN, call, prepared

    prepared(folder)
    drawn = long_tailed.draw(name, data, folder / "source", seed=seed, ratio=ratio, head=head, tested=20)
    call(folder, "-m", "flows.cli", "configure", "ingest.source=source", f"synthesize.preset={preset}", f"seed={seed}")
    for stage in BEFORE_TRAIN:
        call(folder, "-m", "tasks", stage)
    report = json.loads((folder / "reports" / "synthesize.json").read_text())
    seconds = json.loads((folder / "reports" / "run.json").read_text())["synthesize"]["seconds"]
    print(f"{name}, {preset}, images a class {list(drawn.counts.values())}: {seconds:.0f} s, {report['decision']}")
    print(f"  {report['verdict']}; {report['kept']} kept of {report['made']} made and {report['wanted']} wanted")
    for gate in report["gates"]:
        print(f"  {gate['name']}: {'passed' if gate['passed'] else 'refused'}; {gate['reason']}")
        print(f"    {json.dumps(gate['figures'])[:600]}")


def main() -> None:
    """Runs the chosen measurement."""
    from benchmarks import long_tailed

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "gates"))
    parser.add_argument("--data", type=Path, help="holds fashion_mnist/ and sign_digits.zip")
    parser.add_argument("--folder", type=Path, help="a new folder for the workspace")
    parser.add_argument("--name", choices=long_tailed.SETS, default=long_tailed.SETS[0])
    parser.add_argument("--preset", default="short")
    parser.add_argument("--head", type=int, default=1000, help="images of the commonest class")
    parser.add_argument("--ratio", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {time.strftime('%Y-%m-%d')}")
    if options.what == "speed":
        speed()
        return
    if options.data is None or options.folder is None:
        parser.error("gates needs --data and --folder")
    gates(
        options.data.resolve(), options.folder.resolve(), options.preset,
        name=options.name, head=options.head, ratio=options.ratio, seed=options.seed,
    )  # fmt: skip


if __name__ == "__main__":
    main()
