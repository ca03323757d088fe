"""Training on one GPU: Hallmark's loop against one written by hand with images on the device; Fashion-MNIST to 94 %.

    python benchmarks/gpu.py [--data PATH/fashion_mnist]

Needs torch, lightning, numpy, albumentations and einops, and this repository beside it; nothing else is imported.
ResNet-18 and a ViT train in bf16 at 32 and 224 pixels on random images that stay on the device. Both loops alternate,
with the same network, augmentation, optimiser, clipping and average. Printed are images a second, and the share of time
in which the GPU was busy, as nvidia-smi reports it while Hallmark's loop runs. With ``--data`` the default recipe then
trains on Fashion-MNIST's 60 000 images, and the time to 94 % test accuracy is printed. ``--device cpu --tiny`` runs a
small version of everything.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parents[1]))

from hallmark.contracts import runtime
from hallmark.judgement.objective import Objective
from hallmark.learning import losses
from hallmark.learning.batches import Batches
from hallmark.learning.checkpoints import Checkpoints
from hallmark.learning.devices import Machine
from hallmark.learning.loop import fit
from hallmark.learning.plan import TrainingPlan
from hallmark.learning.recipe import Recipe, resolve
from hallmark.learning.validation import Validation
from hallmark.models.build import build
from hallmark.models.params import Model, choose
from hallmark.transforms import batched, draws, presets

if TYPE_CHECKING:
    from collections.abc import Iterator

CLASSES = 10
RECIPE = Recipe(
    scaling="standard", max_epochs="auto", patience=0, batch_size="auto", accumulate=1, optimizer="adamw", lr="auto",
    layer_decay="auto", head="auto", freeze="auto", frozen_layers="auto", freeze_norms="auto",
    momentum=0.9, weight_decay="auto", l1=0.0, schedule="one_cycle", warmup=0.2,
    augment_after="auto", clip_norm=1.0, clip_value=0.0, loss="auto", label_smoothing=0.05, mixup=0.0, cutmix=0.0,
    ema="auto", keep="last", refit=False, synthetic_weight=0.5, precision="auto", compile=False, deterministic=False,
)  # fmt: skip
NETWORKS: dict[str, dict[str, Any]] = {
    "resnet": {"units": 64, "depth": 2, "stages": 4},
    "vit": {"units": 192, "depth": 12},
}


class Plan:
    """The part of a plan's table that :class:`Batches` uses, without pandas: every image once an epoch."""

    def __init__(self, count: int) -> None:
        self._columns = {"repeats": np.ones(count, np.int64), "probability": np.full(count, 1 / count)}

    def __len__(self) -> int:
        return len(self._columns["repeats"])

    def __getitem__(self, name: Any) -> Any:
        return self if isinstance(name, list) else Column(self._columns[name])

    def reset_index(self, *, drop: bool) -> Plan:
        return self


class Column:
    def __init__(self, values: Any) -> None:
        self._values = values

    def to_numpy(self, dtype: Any) -> Any:
        return self._values.astype(dtype)

    def sum(self) -> Any:
        return self._values.sum()


class Clock:
    """A log that records the time of each epoch's accuracy."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.curve: list[tuple[float, float]] = []

    def metrics(self, values: Any, step: int) -> None:
        if "epoch/val_accuracy" in values:
            self.curve.append((time.perf_counter() - self.started, values["epoch/val_accuracy"]))

    def image(self, name: str, pixels: Any, step: int) -> None: ...


@contextmanager
def watched(device: torch.device) -> Iterator[list[int]]:
    """Percentages of time in which the GPU was busy, sampled within the block; none on a CPU."""
    seen: list[int] = []
    if device.type != "cuda":
        yield seen
        return
    command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--loop-ms=200"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    reader = threading.Thread(target=lambda: seen.extend(int(line) for line in process.stdout or ()), daemon=True)
    reader.start()
    try:
        yield seen
    finally:
        process.terminate()
        process.wait()
        reader.join(timeout=2)


def settle(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def side_by_side(
    name: str, side: int, *, device: torch.device, images: int, batch: int, rounds: int, tiny: bool = False
) -> tuple[float, float, float, list[int]]:
    """Images a second of Hallmark and by hand (medians), the median ratio of a round, and the GPU's busy share."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (images, side, side, 3), dtype=np.uint8)
    labels = generator.integers(0, CLASSES, images)
    transforms = presets.resolve("standard", field="preset")
    arguments = {**NETWORKS[name], **({"units": 8, "depth": 1} if tiny else {})}
    if name == "resnet":
        arguments["stem"] = "cifar" if side <= 64 else "imagenet"
    else:
        arguments["patch"] = 4 if side <= 64 else 16
    description = {
        "name": name, "classes": CLASSES, "height": side, "width": side, "channels": 3, "mean": [0.5] * 3,
        "std": [0.25] * 3, **arguments,
    }  # fmt: skip
    recipe = Recipe(**{**vars(RECIPE), "max_epochs": 1, "batch_size": batch})
    resolved = resolve(recipe, images=images, network=name)
    precision = "bf16" if device.type == "cuda" else "fp32"
    machine = Machine(device=device, precision=precision, threads=torch.get_num_threads())
    loss = losses.build(
        "cross_entropy", priors=[0.1] * CLASSES, label_smoothing=0.05, focal_gamma=2.0, adjustment_tau=1.0
    )
    ours, hand, busy = [], [], []
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "images.npy"
        np.save(path, pixels)
        made = Batches(
            path, plan=Plan(images), sampler="sequential", labels=labels.astype(np.int64),  # type: ignore[arg-type]
            weights=np.ones(images, np.float32), transforms=transforms, batch_size=batch, seed=0, device=device,
        )  # fmt: skip

        def by_hallmark(number: int) -> float:
            started = settle(device)
            fit(
                build(**description),
                TrainingPlan(
                    batches=made, recipe=recipe, resolved=resolved, loss=loss, classes=CLASSES, seed=0, machine=machine
                ),
                validation=None,
                checkpoints=Checkpoints(Path(scratch) / "kept", str(number)), log=Clock(),
            )  # fmt: skip
            return images / (settle(device) - started)

        def by_hand() -> float:
            inputs, answers = torch.from_numpy(pixels).to(device), torch.from_numpy(labels).to(device)
            network = build(**description).to(device).train()
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            augment = batched.build(transforms, height=side, width=side, channels=3)
            optimizer = torch.optim.AdamW(network.parameters(), lr=resolved.lr, weight_decay=0.05, fused=True)
            live = [value for value in network.state_dict().values() if value.is_floating_point()]
            average = [value.detach().clone() for value in live]
            started = settle(device)
            order = np.random.default_rng(0).permutation(images)
            for chosen in np.array_split(order, made.per_epoch):
                index = torch.from_numpy(chosen).to(device, non_blocking=True)
                batch_images = augment(inputs[index], draws.keys(seed=0, rows=chosen, positions=chosen))
                with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                    logits = network(batch_images.permute(0, 3, 1, 2).float().div_(255))
                    value = functional.cross_entropy(logits.float(), answers[index], label_smoothing=0.05)
                optimizer.zero_grad()
                value.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
                torch._foreach_lerp_(average, live, 0.05)
            return images / (settle(device) - started)

        by_hallmark(0), by_hand()  # kernels are chosen and memory is taken
        for number in range(1, rounds + 1):
            with watched(device) as seen:
                ours.append(by_hallmark(number))
            busy += seen
            hand.append(by_hand())
    ratio = statistics.median(a / b for a, b in zip(ours, hand, strict=True))
    return statistics.median(ours), statistics.median(hand), ratio, busy


def idx(path: Path, offset: int) -> np.ndarray[Any, Any]:
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=offset)


def to_accuracy(data: Path, *, device: torch.device, images: int, epochs: int | str) -> list[tuple[float, float]]:
    """(seconds, test accuracy) after each epoch of the default recipe; the test images choose nothing."""
    train = idx(data / "train-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28, 1)[:images]
    labels = idx(data / "train-labels-idx1-ubyte.gz", 8)[:images].astype(np.int64)
    tests = idx(data / "t10k-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28, 1)
    answers = idx(data / "t10k-labels-idx1-ubyte.gz", 8).astype(np.int64)
    auto = Model(
        name="auto", backbone="none", image_size="auto", channels="auto", width="auto", depth="auto", activation="auto",
        norm="auto", dropout=0.0, stochastic_depth=0.0,
    )  # fmt: skip
    recipe = Recipe(**{**vars(RECIPE), "max_epochs": epochs, "optimizer": "auto"})
    resolved = resolve(recipe, images=images, network="cnn")
    choice = choose(auto, images=images, classes=CLASSES, side=28, grey=True, batch_size=resolved.batch_size)
    log = Clock()
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "images.npy"
        np.save(path, train)
        made = Batches(
            path, plan=Plan(images), sampler="sequential", labels=labels,  # type: ignore[arg-type]
            weights=np.ones(images, np.float32), transforms=presets.resolve("standard", field="preset"),
            batch_size=resolved.batch_size, seed=0, plain_epochs=resolved.plain_epochs, device=device,
        )  # fmt: skip
        fit(
            build(
                choice.name, classes=CLASSES, height=28, width=28, channels=1, mean=[0.286], std=[0.353], seed=0,
                **choice.arguments,
            ),
            TrainingPlan(
                batches=made, recipe=recipe, resolved=resolved,
                loss=losses.build(
                    "cross_entropy", priors=[0.1] * CLASSES, label_smoothing=0.05, focal_gamma=2.0, adjustment_tau=1.0
                ),
                classes=CLASSES, seed=0,
                machine=Machine(
                    device=device, precision="bf16" if device.type == "cuda" else "fp32",
                    threads=torch.get_num_threads(),
                ),
            ),
            validation=Validation(
                images=tests[:500] if device.type == "cpu" else tests,
                labels=answers[:500] if device.type == "cpu" else answers,
                objective=Objective(metric="accuracy"), classes=[str(label) for label in range(CLASSES)],
            ),
            checkpoints=Checkpoints(Path(scratch) / "kept", "time"), log=log,
        )  # fmt: skip
    return log.curve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of Fashion-MNIST's IDX files")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tiny", action="store_true", help="a few images, to check that the script runs")
    options = parser.parse_args()
    device = torch.device(options.device, 0) if options.device == "cuda" else torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("no CUDA device here; --device cpu --tiny runs everything in small")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}")
    print(f"{'network':<8} {'px':>4} {'Hallmark/s':>11} {'by hand/s':>10} {'ratio':>6} {'GPU busy':>9}")
    sizes = ((32, 50_000, 512), (224, 4_000, 128)) if not options.tiny else ((16, 64, 16), (32, 32, 8))
    for network in NETWORKS:
        for side, images, batch in sizes:
            first, second, ratio, busy = side_by_side(
                network, side, device=device, images=images, batch=batch, rounds=1 if options.tiny else options.rounds,
                tiny=options.tiny,
            )  # fmt: skip
            share = f"{statistics.median(busy):.0f} %" if busy else "-"
            print(f"{network:<8} {side:4d} {first:11.0f} {second:10.0f} {ratio:6.2f} {share:>9}", flush=True)
    if options.data is not None:
        images, epochs = (256, 1) if options.tiny else (60_000, "auto")
        curve = to_accuracy(options.data, device=device, images=images, epochs=epochs)
        reached = next((seconds for seconds, accuracy in curve if accuracy >= 0.94), None)
        print("Fashion-MNIST: 94 % " + (f"after {reached:.1f} s" if reached else "not reached"))
        print(json.dumps([(round(seconds, 2), round(accuracy, 4)) for seconds, accuracy in curve]))


if __name__ == "__main__":
    runtime.prepare()
    main()
