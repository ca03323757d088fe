"""Time in which a training from scratch reaches a test accuracy on Fashion-MNIST: Hallmark and its peers.

    .venv/bin/python -m benchmarks.time_to_accuracy --data PATH/fashion_mnist --train-images 10000 --minutes 5

Each contestant runs in a separate process, one after the other. Hallmark's is the stage train with the values of
params.yaml, on PNG images as ingest stores them, with no cache; the clock starts before its imports. It chooses no
weights by the test images (train.keep is last, and it never stops early): they replace the validation images, so that
its accuracy is known after each epoch. The peers read the IDX files as arrays or the same PNG images. ``hand`` is an
fp32 loop as in torch's tutorials, with the same network, and flips and shifts by hand. ``--peer
fastai=PEER/bin/python`` (or autogluon, ludwig) adds a peer with its own environment: benchmarks/training_peers.py says
how to set it up and what it trains. The CPU seconds of a peer include its processes that load images. Wall times
depend on other work on the machine, so CPU seconds are printed too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LEVELS = (0.90, 0.92, 0.923, 0.935, 0.94)
PEERS = ("hand",)


def hallmark(data: Path, images: int, minutes: float, seed: int) -> None:
    """In a separate process: the stage train, with a line each time the test images are judged."""
    started = time.perf_counter()
    from hallmark.contracts import runtime

    runtime.prepare()
    from benchmarks.measured import default_recipe
    from hallmark.contracts.telemetry import collect
    from hallmark.learning.validation import Validation
    from tasks import train

    judge = Validation.judge

    def judged(self: Any, *arguments: Any, **named: Any) -> Any:
        out = judge(self, *arguments, **named)
        tell(started, out.accuracy)
        if time.perf_counter() - started > minutes * 60:
            sys.exit(0)
        return out

    Validation.judge = judged  # type: ignore[method-assign]
    places = json.loads(Path("places.json").read_text())
    with collect() as facts:
        report = train.run(
            default_recipe(keep="last", patience=0, seed=seed), **{name: Path(place) for name, place in places.items()}
        )
    print("NOTE", f"{report.model}, {report.n_parameters} parameters, {report.epochs} epochs", flush=True)
    print("NOTE", ", ".join(f"{name} {value}" for name, value in facts.items() if "run" not in name), flush=True)


def hand(data: Path, images: int, minutes: float, seed: int) -> None:
    """In a separate process: a straightforward fp32 loop, 12 epochs of Adam and one cycle."""
    started = time.perf_counter()
    import numpy as np
    import torch
    from torch import nn
    from torch.nn import functional

    from benchmarks import fashion_mnist, idx

    torch.manual_seed(seed)

    def planes(pixels: Any) -> torch.Tensor:
        return torch.from_numpy(pixels.copy()).permute(0, 3, 1, 2).float().div_(255).sub_(0.286).div_(0.353)

    pixels, classes = fashion_mnist.chosen(data, images)
    inputs, labels = planes(pixels), torch.from_numpy(classes.copy())
    test_pixels, test_classes = idx.read(data, "t10k")
    tests, answers = planes(test_pixels), torch.from_numpy(test_classes.copy())

    def block(size: int, out: int, *, halve: bool) -> list[nn.Module]:
        pool: list[nn.Module] = [nn.MaxPool2d(2)] if halve else []
        return [nn.Conv2d(size, out, 3, padding=1, bias=False), *pool, nn.BatchNorm2d(out), nn.ReLU()]

    network = nn.Sequential(
        *block(1, 32, halve=True), *block(32, 32, halve=False), *block(32, 64, halve=True),
        *block(64, 64, halve=False), *block(64, 128, halve=True), *block(128, 128, halve=False),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip
    epochs, size = 12, 128
    steps = epochs * -(-images // size)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in range(epochs):
        network.train()
        for chosen in torch.randperm(images).split(size):  # type: ignore[no-untyped-call]
            batch = inputs[chosen]
            flipped = torch.rand(len(batch)) < 0.5
            batch[flipped] = batch[flipped].flip(3)
            across, down = np.random.default_rng().integers(-2, 3, 2)
            batch = batch.roll((int(down), int(across)), (2, 3))
            loss = functional.cross_entropy(network(batch), labels[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        network.eval()
        with torch.no_grad():
            parts = tests.split(500)  # type: ignore[no-untyped-call]
            guesses = torch.cat([network(part).argmax(1) for part in parts])
        tell(started, float((guesses == answers).float().mean()))
        if time.perf_counter() - started > minutes * 60:
            break


def tell(started: float, accuracy: float) -> None:
    print("AT", f"{time.perf_counter() - started:.2f} {time.process_time():.2f} {accuracy:.5f}", flush=True)


def folders(root: Path, data: Path, images: int) -> None:
    """The stages' folders for Hallmark, in ``root``; their paths in places.json."""
    from benchmarks import fashion_mnist
    from hallmark.transforms import presets

    made = fashion_mnist.stages(
        root / "data", data, images=images, transforms=presets.resolve("standard", field="preset")
    )
    made |= {"train": root / "data/train", "plots": root / "plots"}
    for name in ("train", "plots"):
        made[name].mkdir()
    (root / "places.json").write_text(json.dumps({name: str(place) for name, place in made.items()}))


def files(root: Path, data: Path, images: int) -> dict[str, list[tuple[str, str]]]:
    """Training and test images as PNG files below ``root``, with their labels."""
    from benchmarks import fashion_mnist, idx

    made: dict[str, list[tuple[str, str]]] = {"valid": []}
    for part, (pixels, labels) in (
        ("train", fashion_mnist.chosen(data, images)),
        ("test", idx.read(data, "t10k")),
    ):
        (root / part).mkdir()
        made[part] = [(str(root / part / f"{number:05d}.png"), str(label)) for number, label in enumerate(labels)]
        for (place, _), image in zip(made[part], pixels, strict=True):
            Path(place).write_bytes(idx.png(image))
    return made


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """The curve of one contestant: (wall seconds, CPU seconds, test accuracy) in order, and a note."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{scratch}/mlflow.db"}
        if name in options.peer:
            given = root / "given.json"
            seconds = {"side": 28, "seconds": options.minutes * 60, "whole": True, "out": str(root / "out.json")}
            given.write_text(json.dumps(files(root, options.data, options.train_images) | seconds))
            command = [options.peer[name], str(ROOT / "benchmarks" / "training_peers.py"), name, str(given)]
        else:
            if name == "hallmark":
                folders(root, options.data, options.train_images)
            command = [sys.executable, "-m", "benchmarks.time_to_accuracy", "--run", name, "--data", str(options.data)]
            for option in ("train_images", "minutes", "seed"):
                command += [f"--{option.replace('_', '-')}", str(getattr(options, option))]
            environment["PYTHONPATH"] = str(ROOT)  # not the peers': nothing of ours is theirs to import
        limit = options.minutes * 60 + 120
        try:
            done = subprocess.run(
                command, cwd=root, env=environment, capture_output=True, text=True, timeout=limit, check=False,
            )  # fmt: skip
            out, err, code = done.stdout, done.stderr, done.returncode
        except subprocess.TimeoutExpired as error:
            out, err, code = (error.stdout or b"").decode(), f"stopped after {limit:.0f} s", 0
    curve = [tuple(map(float, line.split()[1:])) for line in out.splitlines() if line.startswith("AT ")]
    notes = [line[5:] for line in out.splitlines() if line.startswith("NOTE ")]
    if code and not curve:
        notes.append(f"failed: {err.strip().splitlines()[-1] if err.strip() else code}")
    return {"name": name, "curve": curve, "note": "; ".join(notes)}


def row(found: dict[str, Any]) -> str:
    """One line of the table."""
    curve = found["curve"]

    def reached(level: float) -> str:
        return next((f"{wall:.0f}/{cpu:.0f}" for wall, cpu, accuracy in curve if accuracy >= level), "-")

    def by(minutes: float) -> str:
        seen = [accuracy for wall, _, accuracy in curve if wall <= minutes * 60]
        return f"{seen[-1]:.2%}" if seen else "-"

    cells = [f"{found['name']:<10}", *(f"{reached(level):>9}" for level in LEVELS)]
    last = f"{curve[-1][2]:.2%} {curve[-1][0]:.0f}/{curve[-1][1]:.0f}" if curve else "-"
    return " ".join([*cells, f"{by(1):>8} {by(5):>8} {by(15):>8} {last:>17}  {found['note']}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of Fashion-MNIST's IDX files")
    parser.add_argument("--train-images", type=int, default=60_000)
    parser.add_argument("--minutes", type=float, default=15.0, help="maximum wall time of each contestant")
    parser.add_argument("--seed", type=int, default=0, help="seed of Hallmark and hand")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=["hand"])
    parser.add_argument(
        "--peer", action="append", default=[], metavar="NAME=PYTHON", help="a peer and the Python of its environment"
    )
    parser.add_argument("--no-hallmark", action="store_true", help="the peers alone")
    parser.add_argument("--run", choices=("hallmark", "hand"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.data = options.data.resolve()
    options.peer = dict(each.split("=", 1) for each in options.peer)
    if options.run:
        run = {"hallmark": hallmark, "hand": hand}[options.run]
        run(options.data, options.train_images, options.minutes, options.seed)
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {time.strftime('%Y-%m-%d')}")
    print(f"{options.train_images} training images; wall seconds / CPU seconds to an accuracy; accuracy by minutes")
    levels = " ".join(f"{level:>9.1%}" for level in LEVELS)
    print(f"{'':<10} {levels} {'1 min':>8} {'5 min':>8} {'15 min':>8} {'last':>17}")
    for name in (*(() if options.no_hallmark else ("hallmark",)), *options.peers, *options.peer):
        print(row(measure(name, options)), flush=True)


if __name__ == "__main__":
    main()
