"""train: fits a network to the training images; the objective on the validation images chooses its weights."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from hallmark.contracts import require
from hallmark.judgement.objective import Objective  # noqa: TC001  the params loader resolves the annotation
from hallmark.learning.recipe import Recipe
from hallmark.models.params import BACKBONE, Model
from hallmark.tracking.params import Tracking  # noqa: TC001  the params loader resolves the annotation

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hallmark.learning.checkpoints import Checkpoints
    from hallmark.learning.model_setup import ModelSetup
    from hallmark.learning.plan import TrainingPlan
    from hallmark.learning.training_data import TrainingData


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

    ``transfer`` describes the pretrained network, None without one; ``refit`` what the final network learnt from where
    that includes the validation images; ``lr_search`` the trial of ``train.lr: find``.
    """

    epochs: int
    best_epoch: int
    model: str
    n_parameters: int
    privacy: dict[str, Any] | None
    why: str
    transfer: dict[str, Any] | None
    refit: dict[str, int] | None
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
    """Trains; writes model.safetensors, model.json, recipe.json, {history,validation}.parquet, plots/history.csv."""
    from hallmark.contracts.runtime import state
    from hallmark.learning import model_setup, record, refit, settings, training, training_data
    from hallmark.models import weights
    from hallmark.tracking import backbones, store, training_run

    folders = {"ingest": ingest, "split": split, "clean": clean, "balance": balance, "synthesize": synthesize}
    data = training_data.read(**folders, synthetic_weight=params.synthetic_weight)
    inputs = [*data.files, policy := augment / "policy.json"]
    transforms = json.loads(policy.read_text(encoding="utf-8"))["transforms"]
    cache = state() / "cache" / "pixels"
    with backbones.finder(param=BACKBONE) as find, store.opened_meanwhile(), require.within("model"):
        prepare = partial(model_setup.prepare, params.model, seed=params.seed, cache=cache, find=find)
        setup = prepare(data, recipe=params)
        both = refit.prepared(params, data, setup, prepare)
    plan, saved = _plan(params, data, setup, transforms, inputs, "checkpoints")
    values = settings.executed(plan, data=data, setup=setup, transforms=transforms, objective=params.objective)
    with training_run.opened(
        params.tracking, plan, setup, data, key=saved.key, values=values, model=params.model, ingest=ingest
    ) as tracked:
        validation = training.validation(data, setup, params.objective)
        fitted = training.train(setup, plan, validation=validation, checkpoints=saved, log=tracked)
        record.write_validation(train, data.val_paths, training.predicted(setup, fitted, validation))
        if both is not None and refit.affordable(params, fitted, both[0]):
            again = _plan(refit.recipe(params, fitted), *both, transforms, inputs, "refits")
            fitted = replace(fitted, state=refit.fit(fitted, both[1], *again), refitted_on=both[0].n_real)
        weights.save_model(train, setup.description, fitted.state)
        training_run.finished(tracked, fitted, values, weights=train / weights.WEIGHTS)

    record.write(fitted, train=train, plots=plots)
    record.write_recipe(train, fitted, recipe=params, model=params.model, seed=params.seed)
    figures = record.summary(fitted, data, setup, loss=params.loss, objective=params.objective)
    return Report(**figures, privacy=None)


def _plan(
    params: Params,
    data: TrainingData,
    setup: ModelSetup,
    transforms: Sequence[dict[str, Any]],
    files: Sequence[Path],
    kept: str,
) -> tuple[TrainingPlan, Checkpoints]:
    """How the network is trained, and its checkpoints in .hallmark/``kept``; their key covers the ``files``."""
    from hallmark.contracts.runtime import state
    from hallmark.learning import checkpoints, training, training_key

    machine = training.machine(params, data, setup)
    # tracking does not change the weights
    decisive = {name: value for name, value in dataclasses.asdict(params).items() if name != "tracking"}
    saved = checkpoints.Checkpoints(state() / kept, training_key.of(decisive, setup, machine, files))
    resolved = training.resolved(params, data, setup, machine, saved)
    plan = training.plan(
        data, setup, transforms=transforms, recipe=params, resolved=resolved, seed=params.seed, machine=machine
    )
    return plan, saved
