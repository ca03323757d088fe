"""train: fits a network to the training images; the objective on the validation images chooses its weights."""

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
    from collections.abc import Sequence
    from pathlib import Path

    from hallmark.learning.devices import Machine
    from hallmark.learning.model_setup import ModelSetup
    from hallmark.learning.training_data import TrainingData
    from hallmark.tracking.tracked_run import TrackedRun


MODULES = ("hallmark.learning.training", "hallmark.learning.model_setup")  # the code that decides the weights


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
    """What was trained, how, and its results on the validation images; epochs count from 1.

    ``transfer`` describes the pretrained network, None without one; ``lr_search`` the trial of ``train.lr: find``.
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
    from hallmark.contracts import telemetry
    from hallmark.contracts.runtime import state
    from hallmark.learning import checkpoints, devices, record, settings, training, training_data
    from hallmark.models import layers, weights
    from hallmark.tracking.runs import open_run

    folders = {"ingest": ingest, "split": split, "clean": clean, "balance": balance, "synthesize": synthesize}
    data = training_data.read(**folders, synthetic_weight=params.synthetic_weight)
    policy = augment / "policy.json"
    transforms = json.loads(policy.read_text(encoding="utf-8"))["transforms"]
    setup = _setup(params, data, state() / "cache" / "pixels")
    name = setup.description["name"]
    resolved = resolve(params, images=data.images_per_epoch, network=name, weights=setup.weights)
    shape = (resolved.batch_size, *setup.shape)
    machine = devices.machine(params.precision, setup.network, shape, compiled=params.compile)
    telemetry.note(
        device=str(machine.device), precision=machine.precision, threads=machine.threads, replicas=machine.replicas
    )
    key = _key(params, setup, machine, [*data.files, policy])
    saved = checkpoints.Checkpoints(state() / "checkpoints", key)
    if params.batch_size == "find":
        resolved = training.with_largest_batches(params, data, setup, machine, saved)
    with require.within("train"):
        layers.check_batches(setup.network, resolved.batch_size)
    values = settings.executed(
        params, resolved, data=data, setup=setup, machine=machine, transforms=transforms, objective=params.objective,
        seed=params.seed,
    )  # fmt: skip
    plan = training.plan(
        data, setup, transforms=transforms, recipe=params, resolved=resolved, seed=params.seed, machine=machine
    )
    with open_run(
        params.tracking, key=key, stage="train", params=values, name=f"{settings.title(values)} · {key[:4]}",
        tags=_tags(params, setup, machine.device.type), needs_store=False,
    ) as tracked:  # fmt: skip
        _track_data(tracked, data, ingest)
        fitted = training.train(
            setup, plan, validation=training.validation(data, setup, params.objective), checkpoints=saved, log=tracked
        )
        tracked.params(settings.decided(fitted, values))
        tracked.metrics({"best_epoch": fitted.best_epoch, "epochs_trained": len(fitted.history)}, len(fitted.history))
        weights.save_model(train, setup.description, fitted.state)
        tracked.output(train / weights.WEIGHTS)
        tracked.figure("learning_curves", record.curves(fitted))
    record.write(fitted, train=train, plots=plots)
    value = record.finite(fitted.history[fitted.best_epoch - 1]["objective"])
    return Report(
        **record.summary(fitted, data, setup, loss=params.loss),
        privacy=None,
        transfer=record.transfer(fitted, data, setup.backbone),
        objective={"metric": describe(params.objective), "value": value},
    )


def _setup(params: Params, data: TrainingData, cache: Path) -> ModelSetup:
    import tempfile
    from functools import partial
    from pathlib import Path

    from hallmark.learning import model_setup
    from hallmark.tracking import backbones, store

    with tempfile.TemporaryDirectory() as scratch, store.opened_meanwhile(), require.within("model"):
        find = partial(backbones.named, scratch=Path(scratch), param=BACKBONE)
        return model_setup.prepare(params.model, data, recipe=params, seed=params.seed, cache=cache, find=find)


def _key(params: Params, setup: ModelSetup, machine: Machine, files: Sequence[Path]) -> str:
    """The key of the checkpoints: a digest of everything the weights depend on."""
    from hallmark.learning import checkpoints
    from hallmark.pipeline import closure

    # tracking does not change the weights
    values = {name: value for name, value in dataclasses.asdict(params).items() if name != "tracking"}
    start = {"backbone": setup.description.get("backbone")}
    code = closure.digest_of(MODULES)
    return checkpoints.key_of({**values, **start, **machine.facts()}, files, code=code)


def _track_data(tracked: TrackedRun, data: TrainingData, ingest: Path) -> None:
    from hallmark.tracking import dataset

    profile = {"images": data.n_real, "synthetic": data.n_synthetic, "validation": len(data.val_items)}
    classes = data.plan.table["label"].astype(str).value_counts().sort_index().to_dict()
    source = dataset.source_of(dataset.workspace_of(ingest))
    described = dataset.describe(data.files, source=source, profile={**profile, "classes": classes})
    tracked.dataset(described, context=dataset.TRAINING)


def _tags(params: Params, setup: ModelSetup, device: str) -> dict[str, str]:
    """Tags for MLflow's page of the run: the reason for the network, and the values params.yaml leaves open."""
    from hallmark.learning import settings
    from hallmark.tracking.runs import NOTE

    left = ", ".join(f"{key}: {value}" for key, value in settings.left_open(params, params.model).items())
    return {NOTE: setup.why, "hallmark.device": device, "hallmark.written": left or "all values"}
