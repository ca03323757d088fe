"""train: a network fitted to the training images, chosen by the objective on the validation images."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hallmark.contracts import require
from hallmark.judgement.objective import Objective, describe
from hallmark.learning.recipe import Recipe, resolve
from hallmark.learning.recipe import batch_size as batch_size_for
from hallmark.models.params import Model, choose
from hallmark.tracking.params import Tracking  # noqa: TC001  the params loader resolves the annotation

if TYPE_CHECKING:
    from pathlib import Path

    from hallmark.learning.loop import Fitted
    from hallmark.learning.sets import Sets
    from hallmark.models.params import Choice


@dataclass(frozen=True, kw_only=True)
class Params(Recipe):
    """The section ``train`` of params.yaml, and the shared values."""

    seed: int
    model: Model
    objective: Objective
    tracking: Tracking

    def __post_init__(self) -> None:
        super().__post_init__()
        require.at_least(0, seed=self.seed)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was trained, how, and how it stands on the validation images; epochs count from 1."""

    epochs: int
    best_epoch: int
    model: str
    n_parameters: int
    privacy: dict[str, Any] | None
    why: str
    classes: list[str]
    n_train: int
    n_synthetic: int
    n_val: int
    image_size: int
    channels: int
    scaling: str
    batch_size: int
    optimizer: str
    lr: float
    weight_decay: float
    schedule: str
    loss: str
    objective: dict[str, Any]
    train_loss: float | None
    train_accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    warnings: list[str]


def run(
    params: Params,
    *,
    ingest: Path,
    split: Path,
    clean: Path,
    balance: Path,
    augment: Path,
    synthesize: Path,
    train: Path,
    plots: Path,
) -> Report:
    """Trains, writes model.safetensors, model.json, history.parquet and plots/history.csv."""
    import pandas as pd

    from hallmark.contracts.runtime import state
    from hallmark.contracts.seeds import derive
    from hallmark.learning import checkpoints, devices, pixels, sets
    from hallmark.models import weights
    from hallmark.pipeline import telemetry
    from hallmark.tracking.runs import open_run

    data = sets.read(
        ingest=ingest,
        split=split,
        clean=clean,
        balance=balance,
        synthesize=synthesize,
        synthetic_weight=params.synthetic_weight,
    )
    policy = json.loads((augment / "policy.json").read_text(encoding="utf-8"))
    chosen = _choose(params, data)
    cache = state() / "cache" / "pixels"
    shape = {"height": chosen.side, "width": chosen.side, "channels": chosen.channels}
    images = pixels.prepared(data.train_items, **shape, cache=cache)
    held_out = pixels.prepared(data.val_items, **shape, cache=cache) if data.val_items else None
    mean, std = pixels.scaling(params.scaling, pixels.opened(images)[: data.n_real])
    description = {
        "name": chosen.name,
        "classes": data.classes,
        "arguments": chosen.arguments,
        "input": {**shape, "scaling": params.scaling, "mean": mean, "std": std},
    }

    network = weights.network(description, seed=derive(params.seed, "train", "init"))
    size = resolve(params, images=data.shown, network=chosen.name).batch_size
    machine = devices.machine(params.precision, network, (size, chosen.channels, chosen.side, chosen.side))
    telemetry.note(device=str(machine.device), precision=machine.precision, threads=machine.threads)

    # what follows the training only does not change it
    told = {name: value for name, value in dataclasses.asdict(params).items() if name != "tracking"}
    key = checkpoints.key_of(
        {**told, **machine.facts()},
        [*data.files, augment / "policy.json"],
    )
    kept = checkpoints.Checkpoints(state() / "checkpoints", key)
    with open_run(params.tracking, key=key, stage="train", params=dataclasses.asdict(params)) as tracked:
        fitted = sets.train(
            data,
            description,
            network,
            images=images,
            held_out=held_out,
            transforms=policy["transforms"],
            recipe=params,
            objective=params.objective,
            seed=params.seed,
            machine=machine,
            checkpoints=kept,
            log=tracked,
        )
        weights.save_model(train, description, fitted.state)
        tracked.output(train / weights.WEIGHTS)

    history = pd.DataFrame(fitted.history)
    # without validation images a column of None would have no type
    history = history.astype({name: "float64" for name in history.columns if name != "epoch"})
    history.to_parquet(train / "history.parquet", index=False, compression="zstd")
    columns = ["epoch", "train_loss", "val_loss", "objective", "lr"]
    history[columns].to_csv(plots / "history.csv", index=False, lineterminator="\n")
    return _report(params, data, chosen, fitted)


def _choose(params: Params, data: Sets) -> Choice:
    from hallmark.learning import pixels

    found = pixels.survey(data.train_items[: data.n_real])
    return choose(
        params.model,
        images=data.n_real,
        classes=len(data.classes),
        side=found.side,
        grey=found.grey,
        batch_size=batch_size_for(params, images=data.shown),
    )


def _report(params: Params, data: Sets, chosen: Choice, fitted: Fitted) -> Report:
    import math

    def finite(value: float | None) -> float | None:
        return value if value is not None and math.isfinite(value) else None

    resolved = resolve(params, images=data.shown, network=chosen.name)
    best = fitted.history[fitted.best_epoch - 1]
    return Report(
        epochs=len(fitted.history),
        best_epoch=fitted.best_epoch,
        model=chosen.name,
        n_parameters=fitted.n_parameters,
        privacy=None,
        why=chosen.why,
        classes=list(data.classes),
        n_train=data.n_real,
        n_synthetic=data.n_synthetic,
        n_val=len(data.val_items),
        image_size=chosen.side,
        channels=chosen.channels,
        scaling=params.scaling,
        batch_size=resolved.batch_size,
        optimizer=params.optimizer,
        lr=resolved.lr,
        weight_decay=resolved.weight_decay,
        schedule=params.schedule,
        loss=data.plan.loss if params.loss == "auto" else params.loss,
        objective={"metric": describe(params.objective), "value": finite(best["objective"])},
        train_loss=finite(best["train_loss"]),
        train_accuracy=best["train_accuracy"],
        val_loss=finite(best["val_loss"]),
        val_accuracy=best["val_accuracy"],
        warnings=[*data.warnings, *fitted.warnings],
    )
