"""What of a run is followed, and where."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from hallmark.contracts import require
from hallmark.contracts.errors import InputError

WANDB = ("off", "offline", "online")


@dataclass(frozen=True, kw_only=True)
class Tracking:
    """The MLflow experiment runs belong to, and whether Weights & Biases gets a copy of their metrics."""

    experiment: str
    wandb: str

    def __post_init__(self) -> None:
        if not self.experiment.strip():
            raise InputError("tracking.experiment is empty", remedy="name the MLflow experiment")
        require.one_of(WANDB, **{"tracking.wandb": self.wandb})
        if self.wandb != "off" and importlib.util.find_spec("wandb") is None:
            raise InputError(
                f"tracking.wandb is '{self.wandb}', but wandb is not installed",
                remedy="install it with `pip install 'hallmark[wandb]'` or set tracking.wandb to 'off'",
            )
