"""Hallmark's training loop against one written by hand, and the time to the first step.

    .venv/bin/python -m benchmarks.training --data PATH/fashion_mnist

The two loops have the same network, images, augmentation, optimiser, schedule, clipping, weight average, label
smoothing and precision, and alternate in one process, so that other work on the machine affects both equally. Both have
the same number of threads: the loop by hand per kernel, torch's default; Hallmark per part of a batch if it splits
batches over replicas (hallmark/learning/replicas.py), so that its batch norms see one part. The loop by hand is what a
practitioner would write: no checkpoints, no monitoring, no resume, no seeds per step.

The second measurement starts the stage train in a separate process on the same images as PNG, with no cache, and stops
its clock at the first optimiser step. The import of torch alone is timed too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from benchmarks.measured import ROOT, Prepared, default_recipe, fitted, prepared
from hallmark.contracts import runtime
from hallmark.sampling.order import epoch_order
from hallmark.transforms import batched, draws, presets

FIRST_STEP = """
import json, sys, time
started = time.perf_counter()
from pathlib import Path
from hallmark.contracts import runtime
runtime.prepare()
from benchmarks.measured import default_recipe
from tasks import train
from hallmark.learning import train_step
run = train_step.TrainStep.run

def first(self, *arguments, **named):
    result = run(self, *arguments, **named)
    print("FIRST", time.perf_counter() - started, time.process_time(), flush=True)
    sys.exit(0)

train_step.TrainStep.run = first
folders = {name: Path(place) for name, place in json.loads(sys.argv[1]).items()}
train.run(default_recipe(), **folders)
"""


def by_hand(ready: Prepared) -> tuple[float, float]:
    """Wall and CPU seconds of the same training in a plain loop."""
    recipe, resolved, machine = ready.params, ready.resolved, ready.machine
    images = torch.from_numpy(np.array(ready.batches.pixels))
    labels = ready.batches._labels
    plan = ready.batches._plan
    height, width, channels = images.shape[1:]
    augment = batched.build(presets.resolve("standard", field="preset"), height=height, width=width, channels=channels)
    network = ready.network.to(memory_format=torch.channels_last).train()
    average = [value.detach().clone() for value in network.state_dict().values() if value.is_floating_point()]
    live = [value for value in network.state_dict().values() if value.is_floating_point()]
    matrices = [each for each in network.parameters() if sum(size > 1 for size in each.shape) >= 2]
    vectors = [each for each in network.parameters() if sum(size > 1 for size in each.shape) < 2]
    groups = [{"params": matrices, "weight_decay": resolved.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=resolved.lr, betas=(recipe.momentum, 0.999), fused=True)
    per_epoch = ready.batches.per_epoch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, resolved.lr, total_steps=per_epoch * resolved.epochs + 1, pct_start=recipe.warmup
    )
    before = torch.get_num_threads()
    # a kernel has here what Hallmark's replicas have together
    torch.set_num_threads(machine.threads * machine.replica_threads)
    wall, cpu, total = time.perf_counter(), time.process_time(), 0.0
    for epoch in range(resolved.epochs):
        order = epoch_order(plan, seed=0, epoch=epoch, sampler="sequential")
        for chosen in np.array_split(order, per_epoch):
            batch = augment(images[torch.from_numpy(chosen)], draws.keys(seed=epoch, rows=chosen, positions=chosen))
            targets = labels[torch.from_numpy(chosen)]
            inputs = batch.permute(0, 3, 1, 2).float().div_(255)
            with torch.autocast("cpu", torch.bfloat16, enabled=machine.precision == "bf16"):
                logits = network(inputs)
            loss = functional.cross_entropy(logits.float(), targets, label_smoothing=recipe.label_smoothing)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            if recipe.clip_norm:
                torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip_norm)
            optimizer.step()
            schedule.step()
            torch._foreach_lerp_(average, live, 1 - resolved.ema)
            total += loss.item() * len(targets)
    taken = time.perf_counter() - wall, time.process_time() - cpu
    torch.set_num_threads(before)
    return taken


def loops(
    images: np.ndarray, labels: np.ndarray, *, epochs: int, rounds: int, threads: int | None
) -> list[tuple[float, ...]]:
    """Per round: images a second by Hallmark and by hand, images a CPU second by Hallmark and by hand."""
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        recipe = default_recipe(max_epochs=epochs, optimizer="adamw")
        ready = prepared(Path(scratch), images, labels, recipe=recipe, preset="standard", threads=threads)
        short = prepared(Path(scratch), images[:256], labels[:256], recipe=recipe, preset="standard", threads=threads)
        fitted(Path(scratch), short)
        by_hand(short)
        ready = prepared(Path(scratch), images, labels, recipe=recipe, preset="standard", threads=threads)
        for number in range(rounds):
            if number % 2:
                wall, cpu = by_hand(ready)
                ours = fitted(Path(scratch), ready)
            else:
                ours = fitted(Path(scratch), ready)
                wall, cpu = by_hand(ready)
            rows.append(tuple(epochs * len(images) / each for each in (ours.wall, wall, ours.cpu, cpu)))
    return rows


def first_step(data: Path, *, images: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Wall and CPU seconds from a process's start to the first step of the stage train, and of ``import torch``."""
    from benchmarks import fashion_mnist

    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        folders = fashion_mnist.stages(
            root / "data", data, images=images, transforms=presets.resolve("standard", field="preset")
        )
        folders |= {"train": root / "data/train", "plots": root / "plots"}
        for name in ("train", "plots"):
            folders[name].mkdir()
        places = json.dumps({name: str(place) for name, place in folders.items()})
        environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{scratch}/mlflow.db"}
        environment["PYTHONPATH"] = str(ROOT)
        seconds = []
        for _ in range(2):  # the first makes the tracking store, which a workspace does once
            command = [sys.executable, "-c", FIRST_STEP, places]
            done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
            told = [line for line in done.stdout.splitlines() if line.startswith("FIRST")]
            if not told:
                sys.exit(f"no first step:\n{done.stdout}{done.stderr}")
            seconds.append((float(told[0].split()[1]), float(told[0].split()[2])))
            for cached in (root / ".hallmark").rglob("*.npy"):
                cached.unlink()
        started = time.perf_counter()
        alone = "import time, torch; print(time.process_time())"
        done = subprocess.run([sys.executable, "-c", alone], capture_output=True, text=True, check=True)
        return seconds[-1], (time.perf_counter() - started, float(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of Fashion-MNIST's IDX files")
    parser.add_argument("--train-images", type=int, default=4000, help="training images of each timed training")
    parser.add_argument(
        "--epochs", type=int, default=8, help="epochs of each timed training; start and end take a tenth of a second"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=None, help="default: what train takes for the network")
    parser.add_argument("--only", choices=("loops", "start"), default=None)
    options = parser.parse_args()
    from benchmarks import fashion_mnist

    if options.only != "start":
        images, labels = fashion_mnist.chosen(options.data, options.train_images)
        rows = loops(images, labels, epochs=options.epochs, rounds=options.rounds, threads=options.threads)
        for ours, hand, ours_cpu, hand_cpu in rows:
            print(f"wall: {ours:6.0f} images/s against {hand:6.0f}   CPU: {ours_cpu:6.0f} against {hand_cpu:6.0f}")
        wall, cpu = (statistics.median(row[at] / row[at + 1] for row in rows) for at in (0, 2))
        print(f"Hallmark's share of the loop by hand, median: {wall:.1%} by wall time, {cpu:.1%} by CPU time")
    if options.only != "loops":
        (wall, cpu), (torch_wall, torch_cpu) = first_step(options.data, images=options.train_images)
        print(
            f"first step after {wall:.1f} s ({cpu:.1f} s CPU); import torch {torch_wall:.1f} s ({torch_cpu:.1f} s CPU)"
        )


if __name__ == "__main__":
    runtime.prepare()
    main()
