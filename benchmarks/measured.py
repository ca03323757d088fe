"""A training of the default recipe on arrays, for benchmarks: the library as train uses it, without the stage."""

from __future__ import annotations

import dataclasses
import importlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hallmark.contracts import telemetry
from hallmark.learning import batches as loading
from hallmark.learning import devices, losses, pixels
from hallmark.learning.checkpoints import Checkpoints
from hallmark.learning.loop import fit
from hallmark.learning.plan import TrainingPlan
from hallmark.learning.recipe import batch_size, resolve
from hallmark.models.build import build
from hallmark.models.params import choose
from hallmark.pipeline.params import build_all
from hallmark.pipeline.params import read as read_params
from hallmark.transforms import presets
from tasks import STAGES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from hallmark.learning.batches import Batches
    from hallmark.learning.fitted import Fitted
    from hallmark.learning.recipe import Resolved
    from tasks.train import Params

ROOT = Path(__file__).parents[1]


class Quiet:
    """A log that discards its entries."""

    def metrics(self, values: Mapping[str, float], step: int) -> None: ...

    def image(self, name: str, pixels: NDArray[np.uint8], step: int) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Inputs of both Hallmark's loop and a hand-written one; every access of ``network`` gives untrained weights."""

    batches: Batches
    description: dict[str, Any]
    resolved: Resolved
    machine: devices.Machine
    params: Params

    @property
    def network(self) -> Any:
        return build(**self.description)


@dataclass(frozen=True, kw_only=True)
class Done:
    fitted: Fitted
    notes: dict[str, Any]
    wall: float
    cpu: float


def default_recipe(**changes: Any) -> Params:
    """The section ``train`` of this repository's params.yaml, with changes."""
    modules = {stage.name: importlib.import_module(f"tasks.{stage.name}") for stage in STAGES}
    params: Params = build_all(
        read_params(ROOT / "params.yaml"),
        {name: module.Params for name, module in modules.items()},
        shared={stage.name: stage.shared for stage in STAGES},
    )["train"]
    return dataclasses.replace(params, **changes)


def prepared(
    folder: Path,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    *,
    recipe: Params,
    preset: str,
    threads: int | None = None,
) -> Prepared:
    """Everything up to the first step for images [n, h, w, c]; ``folder`` holds the cache."""
    count, side, _, channels = images.shape
    path = folder / "images.npy"
    np.save(path, images)
    classes = int(labels.max()) + 1
    choice = choose(
        recipe.model,
        images=count,
        classes=classes,
        side=side,
        grey=channels == 1,
        batch_size=batch_size(recipe, images=count),
    )
    mean, std = pixels.scaling("standard" if recipe.scaling == "auto" else recipe.scaling, images)
    shape = {"height": side, "width": side, "channels": channels}
    description = {"name": choice.name, "classes": classes, **shape, "mean": mean, "std": std, **choice.arguments}
    resolved = resolve(recipe, images=count, network=choice.name)
    machine = devices.machine(recipe.precision, build(**description), (resolved.batch_size, channels, side, side))
    if threads is not None:
        machine = dataclasses.replace(machine, threads=threads)
    made = loading.Batches(
        path,
        plan=pd.DataFrame({"repeats": np.ones(count, int), "probability": np.full(count, 1 / count)}),
        sampler="sequential",
        labels=labels.astype(np.int64),
        weights=np.ones(count, np.float32),
        transforms=presets.resolve(preset, field="preset"),
        batch_size=resolved.batch_size,
        seed=0,
        plain_epochs=resolved.plain_epochs,
        device=machine.device,
    )
    return Prepared(batches=made, description=description, resolved=resolved, machine=machine, params=recipe)


def fitted(folder: Path, ready: Prepared, *, log: Any = None) -> Done:
    """Trains by Hallmark's loop; the clocks run over :func:`loop.fit` alone."""
    classes = ready.description["classes"]
    loss = losses.build(
        "cross_entropy",
        priors=[1 / classes] * classes,
        label_smoothing=ready.params.label_smoothing,
        focal_gamma=2.0,
        adjustment_tau=1.0,
    )
    checkpoints = Checkpoints(folder / "checkpoints", str(time.monotonic_ns()))
    network = ready.network
    wall, cpu = time.perf_counter(), time.process_time()
    with telemetry.collect() as notes:
        result = fit(
            network,
            TrainingPlan(
                batches=ready.batches,
                recipe=ready.params,
                resolved=ready.resolved,
                loss=loss,
                classes=classes,
                seed=0,
                machine=ready.machine,
            ),
            validation=None,
            checkpoints=checkpoints,
            log=log or Quiet(),
        )
    return Done(fitted=result, notes=notes, wall=time.perf_counter() - wall, cpu=time.process_time() - cpu)


def trained(
    folder: Path, images: NDArray[np.uint8], labels: NDArray[np.int64], *, recipe: Params, preset: str, log: Any
) -> Done:
    return fitted(folder, prepared(folder, images, labels, recipe=recipe, preset=preset), log=log)
