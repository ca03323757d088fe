"""train: a network fitted to the training images, chosen by the objective on the validation images."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hallmark.contracts import require
from hallmark.judgement.objective import Objective, describe
from hallmark.learning.recipe import Recipe, resolve
from hallmark.models.params import BACKBONE, Model
from hallmark.tracking.params import Tracking  # noqa: TC001  the params loader resolves the annotation

if TYPE_CHECKING:
    from pathlib import Path

    from hallmark.learning.loop import Fitted
    from hallmark.learning.model_setup import ModelSetup
    from hallmark.learning.training_data import TrainingData
    from hallmark.models.backbone import Backbone


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
        if not isinstance(self.batch_size, str):
            with require.within("model"):
                self.model.suits_batches(self.batch_size)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was trained, how, and how it stands on the validation images; epochs count from 1.

    ``transfer`` tells what it started from, None if from nothing; ``lr_search`` the trial of ``train.lr: find``.
    """

    epochs: int
    best_epoch: int
    model: str
    n_parameters: int
    privacy: dict[str, Any] | None
    why: str
    transfer: dict[str, Any] | None
    lr_search: list[dict[str, float]]
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
    plain_epochs: int
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
    import tempfile
    from pathlib import Path

    from hallmark.contracts import telemetry
    from hallmark.contracts.runtime import state
    from hallmark.learning import batch_size_finder, checkpoints, devices, model_setup, record, settings, training_data
    from hallmark.models import layers, weights
    from hallmark.tracking import backbones, dataset, store
    from hallmark.tracking.runs import open_run

    folders = {"ingest": ingest, "split": split, "clean": clean, "balance": balance, "synthesize": synthesize}
    data = training_data.read(**folders, synthetic_weight=params.synthetic_weight)
    policy = json.loads((augment / "policy.json").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as scratch:
        named = params.model.backbone
        backbone = None if named is None else backbones.named(named, Path(scratch), where=BACKBONE)
        cache = state() / "cache" / "pixels"
        with store.opened_meanwhile(), require.within("model"):
            start = model_setup.prepare(
                params.model, data, recipe=params, seed=params.seed, cache=cache, backbone=backbone
            )
    name = start.description["name"]
    resolved = resolve(params, images=data.shown, network=name, weights=start.weights)
    shape = (resolved.batch_size, *start.shape)
    machine = devices.machine(params.precision, start.network, shape, compiled=params.compile)
    telemetry.note(
        device=str(machine.device), precision=machine.precision, threads=machine.threads, replicas=machine.replicas
    )

    # what follows the training only does not change it
    told = {name: value for name, value in dataclasses.asdict(params).items() if name != "tracking"}
    begun = {"backbone": start.description.get("backbone")}
    key = checkpoints.key_of({**told, **begun, **machine.facts()}, [*data.files, augment / "policy.json"])
    kept = checkpoints.Checkpoints(state() / "checkpoints", key)
    if params.batch_size == "find":
        found = kept.once(
            "batch_size",
            lambda: batch_size_finder.search(
                start.network, start.shape, images=data.shown, machine=machine, classes=len(data.classes)
            ),
        )
        resolved = resolve(params, images=data.shown, network=name, weights=start.weights, found_batch_size=found)
    layers.check_batches(start.network, resolved.batch_size)
    values = settings.executed(
        params,
        resolved,
        data=data,
        start=start,
        machine=machine,
        transforms=policy["transforms"],
        objective=params.objective,
        seed=params.seed,
    )
    with open_run(
        params.tracking,
        key=key,
        stage="train",
        params=values,
        name=f"{settings.title(values)} · {key[:4]}",
        tags=_tags(params, start, machine.device.type),
        needs_store=False,
    ) as tracked:
        shown = {"images": data.n_real, "synthetic": data.n_synthetic, "validation": len(data.val_items)}
        source = dataset.source_of(dataset.workspace_of(ingest))
        profile = {**shown, "classes": data.plan.table["label"].astype(str).value_counts().sort_index().to_dict()}
        tracked.dataset(dataset.describe(data.files, source=source, profile=profile), context=dataset.TRAINING)
        fitted = training_data.train(
            data,
            start,
            transforms=policy["transforms"],
            recipe=params,
            resolved=resolved,
            objective=params.objective,
            seed=params.seed,
            machine=machine,
            checkpoints=kept,
            log=tracked,
        )
        tracked.params(settings.decided(fitted, values))
        tracked.metrics({"best_epoch": fitted.best_epoch, "epochs_trained": len(fitted.history)}, len(fitted.history))
        weights.save_model(train, start.description, fitted.state)
        tracked.output(train / weights.WEIGHTS)
        tracked.figure("learning_curves", record.curves(fitted))
    record.write(fitted, train=train, plots=plots)
    return _report(params, data, start, backbone, fitted)


def _tags(params: Params, start: ModelSetup, device: str) -> dict[str, str]:
    """For MLflow's page of the run: why this network, and what params.yaml left open."""
    from hallmark.learning import settings
    from hallmark.tracking.runs import NOTE

    left = ", ".join(f"{key}: {value}" for key, value in settings.left_open(params, params.model).items())
    return {NOTE: start.why, "hallmark.device": device, "hallmark.written": left or "all values"}


def _report(params: Params, data: TrainingData, start: ModelSetup, backbone: Backbone | None, fitted: Fitted) -> Report:
    from hallmark.learning.record import finite

    resolved, described = fitted.resolved, start.description
    best = fitted.history[fitted.best_epoch - 1]
    transfer = None
    if backbone is not None:
        transfer = {
            **backbone.told(),
            "head": "kept" if backbone.keeps_head(data.classes) else "new",
            "freeze": resolved.freeze,
            "layer_decay": resolved.layer_decay,
        }
    return Report(
        epochs=len(fitted.history),
        best_epoch=fitted.best_epoch,
        model=described["name"],
        n_parameters=fitted.n_parameters,
        privacy=None,
        why=start.why,
        transfer=transfer,
        lr_search=fitted.search,
        classes=list(data.classes),
        n_train=data.n_real,
        n_synthetic=data.n_synthetic,
        n_val=len(data.val_items),
        image_size=described["input"]["height"],
        channels=described["input"]["channels"],
        scaling=described["input"]["scaling"],
        batch_size=resolved.batch_size,
        optimizer=resolved.optimizer,
        lr=resolved.lr,
        weight_decay=resolved.weight_decay,
        schedule=resolved.schedule,
        plain_epochs=resolved.plain_epochs,
        loss=data.plan.loss if params.loss == "auto" else params.loss,
        objective={"metric": describe(params.objective), "value": finite(best["objective"])},
        train_loss=finite(best["train_loss"]),
        train_accuracy=best["train_accuracy"],
        val_loss=finite(best["val_loss"]),
        val_accuracy=best["val_accuracy"],
        warnings=[*data.warnings, *start.warnings, *fitted.warnings],
    )
