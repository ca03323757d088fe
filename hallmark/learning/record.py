"""The results of a training as files, figures and report values."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import pandas as pd

from hallmark.judgement.objective import describe
from hallmark.learning.recipe import Recipe
from hallmark.models.params import Model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from hallmark.judgement.objective import Objective
    from hallmark.learning.fitted import Fitted
    from hallmark.learning.model_setup import ModelSetup
    from hallmark.learning.training_data import TrainingData
    from hallmark.models.backbone import Backbone

RECIPE = "recipe.json"
VALIDATION = "validation.parquet"


def write(fitted: Fitted, *, train: Path, plots: Path) -> None:
    """Writes history.parquet to ``train``; history.csv and, after a rate search, lr_search.csv to ``plots``."""
    history = pd.DataFrame(fitted.rows)
    # a column of None, as without validation images, has no type
    history = history.astype({name: "float64" for name in history.columns if name != "epoch"})
    history.to_parquet(train / "history.parquet", index=False, compression="zstd")
    columns = ["epoch", "train_loss", "val_loss", "objective", "lr"]
    history[columns].to_csv(plots / "history.csv", index=False, lineterminator="\n")
    if fitted.search:
        pd.DataFrame(fitted.search).to_csv(plots / "lr_search.csv", index=False, lineterminator="\n")


def epochs(train: Path) -> int:
    """The number of epochs that were trained."""
    return int(pd.read_parquet(train / "history.parquet", columns=["epoch"])["epoch"].max())


def write_recipe(train: Path, fitted: Fitted, *, recipe: Recipe, model: Model, seed: int) -> None:
    """Writes recipe.json: what evaluate needs to train the same again on other images.

    ``head_alone`` is true where fine-tuning did not beat the fitted head.
    """
    values = {field.name: getattr(recipe, field.name) for field in fields(Recipe)}
    made = {"recipe": values, "model": asdict(model), "seed": seed, "head_alone": fitted.best_epoch == 0}
    text = json.dumps(made, indent=2, ensure_ascii=False)
    (train / RECIPE).write_text(text + "\n", encoding="utf-8")


def read_recipe(train: Path) -> tuple[Recipe, Model, int, bool]:
    """The recipe, model section, seed and ``head_alone`` of :func:`write_recipe`."""
    values = json.loads((train / RECIPE).read_text(encoding="utf-8"))
    return Recipe(**values["recipe"]), Model(**values["model"]), values["seed"], values["head_alone"]


def write_validation(train: Path, paths: Sequence[str], logits: NDArray[np.float64]) -> None:
    """Writes validation.parquet: the ``logits`` [n, classes] of a network that did not learn from these images."""
    table = pd.DataFrame(logits, columns=[f"logit_{number}" for number in range(logits.shape[1])])
    table.insert(0, "path", pd.Series(list(paths), dtype="string"))
    table.sort_values("path").to_parquet(train / VALIDATION, index=False, compression="zstd")


def read_validation(train: Path) -> tuple[list[str], NDArray[np.float64]]:
    """The paths [n] and logits [n, classes] of :func:`write_validation`; the classes are those of model.json."""
    table = pd.read_parquet(train / VALIDATION)
    return table.pop("path").tolist(), table.to_numpy("float64")


def curves(fitted: Fitted) -> Any:
    """A matplotlib figure of the learning curves: losses, and the scores in [0, 1]."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    names = (("train_loss", "val_loss"), ("train_accuracy", "val_accuracy", "objective"))
    for axes, group in zip(figure.subplots(1, 2), names, strict=True):
        for name in group:
            points = [(row["epoch"], row[name]) for row in fitted.rows if _finite(row[name]) is not None]
            if points:
                axes.plot(*zip(*points, strict=True), label=name.replace("_", " "), marker=".")
        axes.axvline(fitted.best_epoch, color="grey", linewidth=0.8, linestyle="--")
        axes.set_xlabel("epoch")
        axes.legend()
    return figure


def summary(
    fitted: Fitted,
    data: TrainingData,
    setup: ModelSetup,
    *,
    loss: str,
    objective: Objective,
) -> dict[str, Any]:
    """The values of reports/train.json: the data, the network, the settings and the best epoch."""
    resolved, network = fitted.resolved, setup.description["input"]
    best = fitted.best
    settings = ("batch_size", "optimizer", "lr", "weight_decay", "schedule", "plain_epochs")
    return {
        "epochs": len(fitted.history),
        "best_epoch": fitted.best_epoch,
        "model": setup.description["name"],
        "n_parameters": fitted.n_parameters,
        "why": setup.why,
        "transfer": _transfer(fitted, data, setup.backbone),
        "refit": fitted.refitted_on and {"images": fitted.refitted_on, "epochs": fitted.best_epoch},
        "lr_search": fitted.search,
        "classes": list(data.classes),
        "n_train": data.n_real,
        "n_synthetic": data.n_synthetic,
        "n_val": len(data.val_items),
        "image_size": network["height"],
        "channels": network["channels"],
        "scaling": network["scaling"],
        **{name: getattr(resolved, name) for name in settings},
        "loss": data.plan.loss if loss == "auto" else loss,
        "objective": {"metric": describe(objective), "value": _finite(best["objective"])},
        "train_loss": _finite(best["train_loss"]),
        "train_accuracy": best["train_accuracy"],
        "val_loss": _finite(best["val_loss"]),
        "val_accuracy": best["val_accuracy"],
        "warnings": [*data.warnings, *setup.warnings, *fitted.warnings],
    }


def _transfer(fitted: Fitted, data: TrainingData, backbone: Backbone | None) -> dict[str, Any] | None:
    """The pretrained network and how its weights were used, None without one."""
    if backbone is None:
        return None
    return {
        **backbone.summary(),
        "head": "kept" if backbone.keeps_head(data.classes) else ("new" if fitted.start is None else "fitted"),
        "fine_tuned": fitted.best_epoch > 0,
        "freeze": fitted.resolved.freeze,
        "frozen_layers": fitted.resolved.frozen_layers,
        "layer_decay": fitted.resolved.layer_decay,
    }


def _finite(value: float | None) -> float | None:
    """None for values that JSON cannot represent."""
    return value if value is not None and math.isfinite(value) else None
