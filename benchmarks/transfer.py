"""Gain of transfer over training from scratch with few images: Fashion-MNIST, 50 images per class.

    .venv/bin/python -m benchmarks.transfer --data PATH_OF_FASHION_MNIST

A network is trained once on the known classes (``--known``, by default five of the ten). Then, for each seed, another
is trained on 50 images of each of the other classes, once from those weights and once from scratch, with the same
images, network, augmentation (standard) and epochs; everything else is at Hallmark's defaults. Accuracy is on all test
images of the other classes, which nothing else uses.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from benchmarks import idx
from hallmark.contracts import runtime
from hallmark.judgement.objective import Objective
from hallmark.learning import devices, losses
from hallmark.learning.batches import Batches
from hallmark.learning.checkpoints import Checkpoints
from hallmark.learning.loop import fit
from hallmark.learning.pixels import statistics as channel_statistics
from hallmark.learning.plan import TrainingPlan
from hallmark.learning.recipe import DRAWN, UNDER, Recipe, resolve
from hallmark.learning.validation import Validation
from hallmark.models import backbone, transfer, weights
from hallmark.models.params import Model, choose
from hallmark.pipeline import params as pipeline_params
from hallmark.transforms import presets

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
KNOWN = [0, 1, 3, 5, 8]  # what is learnt first; tops, trousers, shoes and a bag: the others are of the same kinds


class Silent:
    """A log that discards its entries."""

    def metrics(self, values: Any, step: int) -> None:
        del values, step

    def image(self, name: str, pixels: Any, step: int) -> None:
        del name, pixels, step


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--per-class", type=int, default=50)
    options.add_argument("--first", type=int, default=6000, help="images a class in the first training")
    options.add_argument("--known", type=int, nargs="+", choices=range(10), default=KNOWN, help="classes learnt first")
    chosen = options.parse_args()
    known = sorted(set(chosen.known))
    new = [label for label in range(10) if label not in known]
    if min(len(known), len(new)) < 2:
        options.error("--known: at least two classes, and two others")
    runtime.prepare()
    train, test = (idx.read(chosen.data, part) for part in ("train", "t10k"))
    document = pipeline_params.read(ROOT / "params.yaml").values
    recipe, model = Recipe(**document["train"]), Model(**document["model"])
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        started = time.perf_counter()
        first = _taken(train, known, chosen.first, seed=0)
        got, state, description = _fitted(root / "first", first, _taken(test, known, None, seed=0), recipe, model, 0)
        print(
            f"first training: {len(first[1])} images of the classes {known}, {got:.2%} in "
            f"{time.perf_counter() - started:.0f} s; then {chosen.per_class} of each of {new}",
            flush=True,
        )
        (root / "model").mkdir()
        weights.save_model(root / "model", description, state)
        found = backbone.read(root / "model", source="first training")
        rows = []
        for seed in range(chosen.seeds):
            few, held_out = _taken(train, new, chosen.per_class, seed=seed), _taken(test, new, None, seed=0)
            alone, _, _ = _fitted(root / f"s{seed}", few, held_out, recipe, model, seed)
            moved, _, _ = _fitted(root / f"t{seed}", few, held_out, recipe, model, seed, found)
            rows.append((alone, moved))
            print(
                f"seed {seed}: from scratch {alone:.2%}, transferred {moved:.2%}, {100 * (moved - alone):+.1f} points",
                flush=True,
            )
    gains = [100 * (moved - alone) for alone, moved in rows]
    means = [statistics.mean(column) for column in zip(*rows, strict=True)]
    print(f"mean: {means[0]:.2%} -> {means[1]:.2%}, {statistics.mean(gains):+.1f} points (least {min(gains):+.1f})")


def _fitted(
    folder: Path,
    data: tuple[NDArray[np.uint8], NDArray[np.int64]],
    held_out: tuple[NDArray[np.uint8], NDArray[np.int64]],
    recipe: Recipe,
    model: Model,
    seed: int,
    found: backbone.Backbone | None = None,
) -> tuple[float, dict[str, torch.Tensor], dict[str, Any]]:
    """Test accuracy, weights and model.json of one training; without validation images, the last weights count."""
    images, labels = data
    folder.mkdir()
    np.save(folder / "images.npy", images)
    count, classes = len(images), int(labels.max()) + 1
    if found is None:
        choice = choose(model, images=count, classes=classes, side=28, grey=True, batch_size=32)
        mean, std = channel_statistics(images)
    else:
        choice = backbone.choose(
            found,
            replace(model, name="pretrained", backbone="x"),
            classes=["new"] * classes,
            images=count,
            side=28,
            why="set",
        )
        mean, std = list(found.mean), list(found.std)
    description = {
        "name": choice.name,
        "classes": [f"{'first' if found is None else 'new'} {label}" for label in range(classes)],
        "arguments": choice.arguments,
        "input": {"height": 28, "width": 28, "channels": 1, "scaling": "standard", "mean": mean, "std": std},
    }
    network = (
        weights.network(description, seed=seed) if found is None else transfer.initial(found, description, seed=seed)
    )
    resolved = resolve(recipe, images=count, network=choice.name, weights=DRAWN if found is None else UNDER)
    batches = Batches(
        folder / "images.npy",
        plan=pd.DataFrame({"repeats": np.ones(count, int), "probability": np.full(count, 1 / count)}),
        sampler="sequential",
        labels=labels,
        weights=np.ones(count, np.float32),
        transforms=presets.resolve("standard", field="benchmark"),
        batch_size=resolved.batch_size,
        seed=seed,
    )
    machine = devices.machine(recipe.precision, network, (resolved.batch_size, 1, 28, 28))
    plan = TrainingPlan(
        batches=batches,
        recipe=recipe,
        resolved=resolved,
        loss=losses.build(
            "cross_entropy",
            priors=[1 / classes] * classes,
            label_smoothing=recipe.label_smoothing,
            focal_gamma=2.0,
            adjustment_tau=1.0,
        ),
        classes=classes,
        seed=seed,
        machine=machine,
    )
    checkpoints = Checkpoints(folder / "checkpoints", "key", every=1e9, spare=1e9)
    fitted = fit(network, plan, validation=None, checkpoints=checkpoints, log=Silent())
    network.load_state_dict(fitted.state)
    judged = Validation(
        images=held_out[0],
        labels=held_out[1],
        objective=Objective(metric="accuracy"),
        classes=[str(label) for label in range(classes)],
    ).judge(network, machine.device)
    return judged.accuracy, fitted.state, description


def _taken(
    data: tuple[NDArray[np.uint8], NDArray[np.int64]], classes: list[int], count: int | None, *, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """``count`` images of each class, drawn by ``seed``, or all; labels are positions in ``classes``."""
    images, labels = data
    generator = np.random.default_rng(seed)
    rows = [generator.permutation(np.flatnonzero(labels == label))[:count] for label in classes]
    return np.ascontiguousarray(images[np.concatenate(rows)]), np.repeat(
        np.arange(len(classes)), [len(each) for each in rows]
    )


if __name__ == "__main__":
    main()
