"""What Lightning Fabric costs a training of one CPU process: imports, throughput, weights; and two processes.

    .venv/bin/python -m benchmarks.fabric [--rounds 5] [--epochs 8]

The digits of scikit-learn train a small network through Fabric (``Fabric(accelerator="cpu")``, its wrapper, autocast
and backward) and without it in turns, in one process: the median ratio of the rounds compares both under the same load.
The same batches then train in two processes through Fabric's DDP strategy. CPU seconds of the imports come from
processes of their own.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from hallmark.contracts import runtime
from hallmark.learning import fabric
from hallmark.learning.checkpoints import Checkpoints
from hallmark.learning.loop import fit
from hallmark.models.build import build
from tests.learning.training import CPU, RECIPE, Recorded, batches, plan

IMPORTS = ("torch", "lightning_fabric", "torchmetrics")


def imported(names: str) -> float:
    """CPU seconds of a process that imports them."""
    code = f"import time, {names}; print(time.process_time())"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def trained(folder: Path, *, epochs: int, processes: int = 1) -> tuple[float, float, dict[str, Any]]:
    """Wall and CPU seconds of this process, and the weights."""
    recipe = replace(RECIPE, max_epochs=epochs, batch_size=64)
    data = batches(folder, count=1536, batch_size=64)
    network = build("cnn", classes=10, height=8, width=8, channels=1, mean=[0.3], std=[0.4], units=32, depth=3)
    kept = Checkpoints(folder / "checkpoints", str(time.monotonic_ns()), every=1e9, spare=1e9)
    machine = replace(CPU, processes=processes)
    wall, cpu = time.perf_counter(), time.process_time()
    fitted = fit(network, plan(data, recipe, machine=machine), validation=None, checkpoints=kept, log=Recorded())
    return time.perf_counter() - wall, time.process_time() - cpu, fitted.state


def by_fabric(folder: Path, *, epochs: int) -> tuple[float, float, dict[str, Any]]:
    build_fabric = fabric.build
    fabric.build = lambda machine, scaler=None: fabric._launched(machine, scaler, devices=1)
    try:
        return trained(folder, epochs=epochs)
    finally:
        fabric.build = build_fabric


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=8)
    options = parser.parse_args()
    for count in range(1, len(IMPORTS) + 1):
        names = ", ".join(("torch", *IMPORTS[1:count]))
        print(f"import {names}: {statistics.median(imported(names) for _ in range(3)):.1f} s CPU", flush=True)
    ratios = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        by_fabric(folder, epochs=1)
        for number in range(options.rounds):
            runs = [by_fabric, trained] if number % 2 else [trained, by_fabric]
            seconds = {run.__name__: run(folder, epochs=options.epochs) for run in runs}
            plain, through = seconds["trained"], seconds["by_fabric"]
            assert all(torch.equal(value, through[2][name]) for name, value in plain[2].items()), "other weights"
            ratios.append((through[0] / plain[0], through[1] / plain[1]))
            print(
                f"round {number + 1}: through Fabric {ratios[-1][0]:.2f} x wall, {ratios[-1][1]:.2f} x CPU", flush=True
            )
        wall, cpu = (statistics.median(each) for each in zip(*ratios, strict=True))
        print(f"one process, same weights: {wall:.2f} x by wall time, {cpu:.2f} x by CPU time (medians)")
        print(f"two processes: {trained(folder, epochs=options.epochs, processes=2)[0]:.1f} s with their start")


if __name__ == "__main__":
    runtime.prepare()
    torch.set_num_threads(1)
    main()
