"""Params of experiment tracking."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from hallmark.contracts import require

WANDB = ("off", "offline", "online")


@dataclass(frozen=True, kw_only=True)
class Tracking:
    """The MLflow experiment runs belong to, and whether Weights & Biases gets a copy of their metrics."""

    experiment: str
    wandb: str

    def __post_init__(self) -> None:
        require.not_blank("name the MLflow experiment", experiment=self.experiment)
        require.one_of(WANDB, wandb=self.wandb)
        require.that(
            self.wandb == "off" or importlib.util.find_spec("wandb") is not None,
            f"is '{self.wandb}', but wandb is not installed",
            remedy="install it with `pip install 'hallmark-ml[wandb]'` or set it to 'off'",
            field="wandb",
        )
