"""Cross-fitting: each image is predicted by a network that was trained without it.

The folds train a recipe on the images that the sampling plan shows, and on those of the other splits. An image outside
the plan takes the mean weight, repeats and probability of its class. Synthetic images take no part: their generator saw
images that a fold holds out. A fold's validation images, split off its training images, choose the weights, so the
held-out images influence neither training nor selection.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hallmark.contracts.names import probability_columns
from hallmark.contracts.seeds import derive
from hallmark.contracts.tables import PLAN, conform, one_of_each_cluster
from hallmark.images.shards import Reader
from hallmark.judgement import prediction
from hallmark.learning import checkpoints, model_setup, refit, training, training_key
from hallmark.learning.epoch import Silent
from hallmark.learning.recipe import FITTED, refits
from hallmark.learning.training_data import TrainingData, items
from hallmark.sampling import plan as planning
from hallmark.splitting import folds as folding
from hallmark.statistics.temperature import softmax

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from hallmark.judgement.objective import Objective
    from hallmark.learning.model_setup import ModelSetup
    from hallmark.learning.plan import TrainingPlan
    from hallmark.learning.recipe import Recipe
    from hallmark.models.backbone import Backbone
    from hallmark.models.params import Model
    from hallmark.sampling.plan import Plan

BATCH = 256


@dataclass(frozen=True, kw_only=True)
class Procedure:
    """What is cross-fitted: the recipe of a network, and the transforms of its training images.

    ``head_alone``: a fold fits the head of a pretrained network and does not fine-tune, as the train stage decided.
    """

    recipe: Recipe
    model: Model
    transforms: Sequence[dict[str, Any]]
    objective: Objective
    seed: int
    head_alone: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class CrossFit:
    """``table`` has ``path repeat fold label predicted`` and a probability per class of ``classes``, sorted by path.

    ``n_train`` and ``epochs`` (the best epoch) have one value per fold.
    """

    table: pd.DataFrame
    classes: list[str]
    probabilities: NDArray[np.float64]
    n_train: list[int]
    epochs: list[int]


def fit(
    pool: pd.DataFrame,
    plan: Plan,
    procedure: Procedure,
    *,
    ingest: Path,
    state: Path,
    folds: int,
    val: float,
    find: Callable[[str], Backbone],
) -> CrossFit:
    """Cross-fits ``procedure`` on the images of ``pool``, see :mod:`hallmark.learning.pool`.

    Args:
        pool: ``path label truth trained cluster representative unit shard row sha256``, sorted by path.
        plan: The sampling plan of the training images.
        procedure: What to train.
        ingest: The folder of the shards.
        state: The folder of checkpoints and of the image cache.
        folds: Number of folds, at least 2.
        val: Share of a fold's training images that are split off as validation images.
        find: Returns the backbone of a name.
    """
    unit = pool["unit"].to_numpy(dtype=np.int64)
    truth = pool["truth"].to_numpy(dtype=object)
    number = folding.assign(truth, unit, folds, seed=derive(procedure.seed, "crossfit"))
    classes = sorted(set(pool["truth"]))
    parts, n_train, epochs = [], [], []
    for fold in range(folds):
        rest = pool[(number != fold) & pool["trained"].to_numpy(dtype=bool)]
        inner = _inner(rest, val, seed=derive(procedure.seed, "crossfit", fold))
        data = _data(rest, inner, plan, ingest)
        held = one_of_each_cluster(pool[number == fold]).reset_index(drop=True)
        network, size, best, shape = _trained(data, procedure, state=state, fold=fold, find=find)
        with Reader(ingest) as reader:
            (logits,) = prediction.of_stored(network, reader, held, shape, size=BATCH)
        # a class that a fold's network does not know has the probability 0
        known = np.zeros((len(held), len(classes)))
        known[:, [classes.index(name) for name in data.classes]] = softmax(logits)
        parts.append((held[["path", "truth", "cluster"]].assign(fold=fold + 1), known))
        n_train.append(size)
        epochs.append(best)
    return _joined(parts, classes, n_train, epochs)


def _inner(rest: pd.DataFrame, val: float, *, seed: int) -> NDArray[np.bool_]:
    """Which images of a fold's training part are its validation images."""
    if val <= 0:
        return np.zeros(len(rest), bool)
    parts = max(2, round(1 / val))
    labels, unit = rest["label"].to_numpy(dtype=object), rest["unit"].to_numpy(dtype=np.int64)
    return np.asarray(folding.assign(labels, unit, parts, seed=seed) == 0)


def _data(rest: pd.DataFrame, inner: NDArray[np.bool_], plan: Plan, ingest: Path) -> TrainingData:
    train, val = rest[~inner], one_of_each_cluster(rest[inner])
    images = train[["path", "label"]].sort_values("path")
    table = conform(planning.rows(plan.table, images), PLAN)
    priors = table.groupby("label")["probability"].sum()
    classes = sorted(table["label"].astype(str).unique())
    val = val[val["label"].isin(classes)]
    return TrainingData(
        classes=classes,
        plan=dataclasses.replace(plan, table=table, class_priors={name: float(priors[name]) for name in classes}),
        n_real=len(table),
        n_synthetic=0,
        train_items=items(ingest, train.set_index("path").loc[table["path"]].reset_index()),
        val_items=items(ingest, val),
        val_labels=val["label"].astype(str).tolist(),
        doubted=frozenset(),
        files=[],
        warnings=[],
    )


def _trained(
    data: TrainingData, procedure: Procedure, *, state: Path, fold: int, find: Callable[[str], Backbone]
) -> tuple[Any, int, int, dict[str, Any]]:
    """The trained network of a fold, its number of training images, its best epoch, and the input that it expects."""
    seed, cache = procedure.seed, state / "cache" / "pixels"

    def prepared(
        data: TrainingData, recipe: Recipe, name: str
    ) -> tuple[ModelSetup, TrainingPlan, checkpoints.Checkpoints]:
        setup = model_setup.prepare(procedure.model, data, recipe=recipe, seed=seed, cache=cache, find=find)
        machine = training.machine(recipe, data, setup)
        values = {**dataclasses.asdict(procedure), **dataclasses.asdict(recipe), "images": _digest(data)}
        key = training_key.of(values, setup, machine, [])
        saved = checkpoints.Checkpoints(state / "folds" / name, key)
        resolved = training.resolved(recipe, data, setup, machine, saved)
        transforms = procedure.transforms
        plan = training.plan(
            data, setup, transforms=transforms, recipe=recipe, resolved=resolved, seed=seed, machine=machine
        )
        return setup, plan, saved

    again = partial(refits, procedure.recipe, images=data.n_real + len(data.val_items))
    if procedure.head_alone:
        whole = refit.joined(data) if again(weights=FITTED) else data
        setup, _, _ = prepared(whole, procedure.recipe, str(fold + 1))
        return setup.network, whole.n_real, 0, setup.description["input"]
    learnt = data
    setup, plan, saved = prepared(data, procedure.recipe, str(fold + 1))
    validation = training.validation(data, setup, procedure.objective)
    fitted = training.train(setup, plan, validation=validation, checkpoints=saved, log=Silent())
    final = fitted.state
    if again(weights=setup.weights) and refit.affordable(procedure.recipe, fitted, whole := refit.joined(data)):
        learnt = whole
        final = refit.fit(fitted, *prepared(whole, refit.recipe(procedure.recipe, fitted), f"{fold + 1}-refit"))
    setup.network.load_state_dict(final)
    return setup.network, learnt.n_real, fitted.best_epoch, setup.description["input"]


def _digest(data: TrainingData) -> str:
    """A digest of the images of a fold, their labels and their part in the training."""
    total = hashlib.sha256(data.plan.table.to_csv(index=False).encode())
    for item, label in zip(data.val_items, data.val_labels, strict=True):
        total.update(f"\x1f{item.digest}={label}".encode())
    for item in data.train_items:
        total.update(f"\x1e{item.digest}".encode())
    return total.hexdigest()


def _joined(
    parts: Sequence[tuple[pd.DataFrame, NDArray[np.float64]]], classes: list[str], n_train: list[int], epochs: list[int]
) -> CrossFit:
    images = pd.concat([part for part, _ in parts], ignore_index=True)
    order = np.argsort(images["path"].to_numpy(dtype=str), kind="stable")
    images, probabilities = images.iloc[order], np.concatenate([each for _, each in parts])[order]
    table = pd.DataFrame(
        {
            "path": images["path"].to_numpy(),
            "repeat": 1,
            "fold": images["fold"].to_numpy(),
            "label": images["truth"].to_numpy(),
            "predicted": np.array(classes, dtype=object)[probabilities.argmax(axis=1)],
            "cluster": images["cluster"].to_numpy(),
        }
    ).astype(dict.fromkeys(("path", "label", "predicted", "cluster"), "string"))
    columns = dict(zip(probability_columns(classes), probabilities.T, strict=True))
    return CrossFit(
        table=table.assign(**columns), classes=classes, probabilities=probabilities, n_train=n_train, epochs=epochs
    )
