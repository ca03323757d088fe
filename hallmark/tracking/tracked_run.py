"""The logging interface of one MLflow run: everything goes to the journal on disk, and from there to MLflow."""

from __future__ import annotations

import functools
import shutil
import time
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from hallmark.contracts import digests, telemetry
from hallmark.tracking.delivery import OUTPUT
from hallmark.tracking.flat_params import shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from hallmark.tracking.courier import Courier
    from hallmark.tracking.journal import Journal
    from hallmark.tracking.wandb_run import WandbRun

TAG = 5000  # characters of a tag's value that every store takes

P = ParamSpec("P")
R = TypeVar("R")


def _clocked(method: Callable[P, R]) -> Callable[P, R]:
    """Adds a call's time to the run's ``seconds``; nested calls count once."""

    @functools.wraps(method)
    def call(*arguments: P.args, **named: P.kwargs) -> R:
        run: Any = arguments[0]
        if run._clock_goes:
            return method(*arguments, **named)
        run._clock_goes, started = True, time.perf_counter()
        try:
            return method(*arguments, **named)
        finally:
            run._clock_goes = False
            run.seconds += time.perf_counter() - started

    return call


class TrackedRun:
    """One MLflow run, and the ``seconds`` that its caller has spent on tracking.

    Created by :func:`hallmark.tracking.runs.open_run`.
    """

    def __init__(self, own: Journal, courier: Courier, wandb: WandbRun | None) -> None:
        self._journal, self._courier, self._wandb = own, courier, wandb
        self._done = {**own.done, **own.steps}  # last step per metric before a kill
        self.seconds = 0.0
        self._clock_goes = False

    @property
    def run_id(self) -> str:
        """MLflow's id of the run; "" until MLflow has been reached."""
        return self._journal.run_id or ""

    @_clocked
    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Logs values of a step, unless the run logged that step before an interruption."""
        fresh = {name: float(value) for name, value in values.items() if step > self._done.get(name, step - 1)}
        if not fresh:
            return
        self._journal.add("metrics", at=now(), step=step, values=fresh)
        self._courier.deliver_if_due()
        if self._wandb is not None:
            self._wandb.metrics(fresh, step)

    @_clocked
    def flush(self) -> None:
        """Waits for one attempt to deliver all events so far."""
        self._courier.flush()

    @_clocked
    def params(self, params: Mapping[str, object]) -> None:
        """Adds params that were unknown at the start; MLflow refuses to change one."""
        self._journal.add("params", params=shortened(params))

    @_clocked
    def tag(self, name: str, value: str) -> None:
        """Sets a tag of the run."""
        self._journal.add("tags", tags={name: value[:TAG]})

    @_clocked
    def dataset(self, dataset: Mapping[str, str], *, context: str) -> None:
        """Adds a data set to the run's inputs, see :func:`hallmark.tracking.dataset.describe`."""
        self._journal.add("dataset", dataset=dict(dataset), context=context)

    def output(self, path: Path) -> None:
        """Records that the run wrote this file, by the digest of its bytes.

        :func:`hallmark.tracking.runs.run_of` finds the run by it.
        """
        self.tag(f"{OUTPUT}.{path.name}", digests.of_file(path))

    @_clocked
    def image(self, name: str, pixels: NDArray[np.uint8], step: int) -> None:
        """Logs an image, uint8 [height, width, channels] with 1, 3 or 4 channels, as images/<name>/<step>.png."""
        from PIL import Image

        assert pixels.ndim == 3, f"an image has three axes, this one {pixels.ndim}"
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        path = self._journal.file(f"{step:08d}.png")
        image.save(path)
        self._add_file(path, f"images/{name}")
        if self._wandb is not None:
            self._wandb.image(name, pixels, step)

    @_clocked
    def figure(self, name: str, figure: Any) -> None:
        """Logs a matplotlib figure as figures/<name>.png."""
        path = self._journal.file(f"{name}.png")
        figure.savefig(path, metadata={"Software": None})
        self._add_file(path, "figures")

    @_clocked
    def artifact(self, path: Path, folder: str = "") -> None:
        """Logs a copy of a file or folder."""
        copy = self._journal.file(path.name)
        if path.is_dir():
            shutil.copytree(path, copy)
        else:
            shutil.copyfile(path, copy)
        self._add_file(copy, folder)

    def _add_file(self, path: Path, folder: str) -> None:
        self._journal.add("file", file=path.relative_to(self._journal.folder).as_posix(), folder=folder)
        self._courier.deliver_if_due()

    @_clocked
    def close(self, status: str) -> None:
        """Ends the run with MLflow's ``status`` and waits for an attempt to deliver the rest."""
        self._journal.add("end", status=status, at=now())
        self._courier.finish()
        if self._wandb is not None:
            self._wandb.close(failed=status != "FINISHED")
        telemetry.note(mlflow_run=self.run_id or None, tracking_waits=self._journal.waits)
        if self._journal.waits:
            self._journal.release()
        else:
            self._journal.remove()


def now() -> int:
    """Milliseconds since the epoch, MLflow's unit of time."""
    return int(time.time() * 1000)
