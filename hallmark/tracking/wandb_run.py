"""A copy of a run's metrics and images in Weights & Biases, under the MLflow run's id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from hallmark.contracts import runtime
from hallmark.contracts.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray


class WandbRun:
    """One W&B run; offline runs wait in ``.hallmark/wandb`` for ``wandb sync``."""

    def __init__(self, project: str, run_id: str, *, mode: str, stage: str, params: Mapping[str, str]) -> None:
        import wandb

        try:
            self._run = wandb.init(
                project=project,
                id=run_id,
                resume="allow",
                mode=cast("Literal['online', 'offline']", mode),
                dir=runtime.state(),
                job_type=stage,
                config=dict(params),
                settings=wandb.Settings(
                    silent=True,
                    console="off",
                    disable_git=True,
                    save_code=False,
                    x_disable_stats=True,
                    x_disable_meta=True,
                ),
            )
        except wandb.Error as error:
            raise MachineError(
                f"Weights & Biases does not answer ({error})",
                remedy="run `wandb login`, or set tracking.wandb to 'offline' or 'off'",
            ) from error

        # W&B's own step must never go back, as it would where images and metrics count differently
        self._run.define_metric("*", step_metric="step")

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Adds values of a step."""
        self._run.log({**values, "step": step})

    def image(self, name: str, pixels: NDArray[np.uint8], step: int) -> None:
        """Adds an image, uint8 [height, width, channels]."""
        import wandb

        self._run.log({name: wandb.Image(pixels), "step": step})

    def close(self, *, failed: bool) -> None:
        """Ends the run and waits until its data are written."""
        self._run.finish(exit_code=int(failed))
