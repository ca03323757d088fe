"""What Lightning Fabric costs a training of one CPU process: imports, throughput, weights; and two processes.

    .venv/bin/python -m benchmarks.fabric [--rounds 5] [--epochs 8] [--against FOLDER]

The digits of scikit-learn train a small network through Fabric (``Fabric(accelerator="cpu")``, its wrapper, autocast
and backward) and without it in turns, in one process: the median ratio of the rounds compares both under the same load.
The same batches then train in two processes through Fabric's DDP strategy: the time of a step comes from a long and a
short training, so that their start does not count. ``--against`` names a checkout of another version, which takes
turns with this one; 6d2b046~1 is the last before Fabric's DDP. CPU seconds of the imports come from processes of their
own.
"""

from __future__ import annotations

import argparse
import os
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

ROOT = Path(__file__).parents[1]
IMPORTS = ("torch", "lightning_fabric")  # Fabric imports torchmetrics
# what both versions have: run in a checkout, it prints the milliseconds of a step of two processes
STEP = """
import tempfile, time
from dataclasses import replace
from pathlib import Path
import torch
from hallmark.contracts import runtime
from hallmark.learning.checkpoints import Checkpoints
from tests.learning.training import CPU, RECIPE, batches, run

def seconds(folder, epochs):
    data = batches(folder, count=1536, batch_size=64)
    kept = Checkpoints(folder / "checkpoints", str(time.monotonic_ns()), every=1e9, spare=1e9)
    recipe, machine = replace(RECIPE, max_epochs=epochs, batch_size=64), replace(CPU, processes=2)
    start = time.perf_counter()
    run(folder, recipe, arguments={"units": 32, "depth": 3}, data=data, checkpoints=kept, machine=machine)
    return time.perf_counter() - start

if __name__ == "__main__":
    runtime.prepare()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        short, long = (seconds(Path(scratch), epochs) for epochs in (4, 44))
    print((long - short) / (40 * 24) * 1000)
"""


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


def step_of_two(checkout: Path) -> float:
    """Milliseconds of a step of two processes, by the code in ``checkout``."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "step.py"
        script.write_text(STEP, encoding="utf-8")
        environment = {**os.environ, "PYTHONPATH": str(checkout)}
        ran = subprocess.run(
            [sys.executable, script], cwd=checkout, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
    return float(ran.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--against", type=Path, help="a checkout of another version")
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
    checkouts = [ROOT] if options.against is None else [ROOT, options.against.resolve()]
    for number in range(options.rounds):
        steps = {checkout: step_of_two(checkout) for checkout in checkouts[:: -1 if number % 2 else 1]}
        times = " and ".join(f"{steps[checkout]:.1f}" for checkout in checkouts)
        load = os.getloadavg()[0]
        ratio = f", {steps[ROOT] / steps[checkouts[-1]]:.2f} x" if len(checkouts) > 1 else ""
        print(f"a step of two processes, round {number + 1}: {times} ms{ratio} (load {load:.1f})", flush=True)


if __name__ == "__main__":
    runtime.prepare()
    torch.set_num_threads(1)
    main()
