"""One isolated training: a folder that links to the inputs and shares nothing else with the workspace.

The stage train and the validation of its params are unchanged; only the output folder differs. A finished trial leaves
``result.json`` and is never repeated; a killed one resumes from its checkpoint.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
import os
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hallmark.contracts import digests, durable
from hallmark.contracts.errors import HallmarkError
from hallmark.experiments.record import INPUTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from hallmark.pipeline.stage import Stage

RESULT = "result.json"
RESOLVED = ("batch_size", "optimizer", "lr", "weight_decay", "schedule")
HEAVY = ("hallmark.learning.training_data", "hallmark.experiments.judging", "hallmark.tracking.runs")


@dataclass(frozen=True, kw_only=True)
class Job:
    """A training to run: ``stage`` of ``package`` with ``params`` on the inputs below ``data``, in ``folder``.

    ``cache`` is the workspace's cache folder, ``parent`` the parent MLflow run, ``tags`` those of the training's run.
    ``follow`` is called after each epoch. ``judged`` are the paths of the images to score, None for the validation
    images. ``latency`` measures the time per image; ``keep`` keeps model and predictions.
    """

    stage: Stage
    package: str
    params: Any
    data: Path
    folder: Path
    cache: Path
    parent: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    follow: Callable[[int, int, float], None] | None = None
    judged: tuple[str, ...] | None = None
    latency: bool = False
    keep: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of a training: ``objective`` (higher is better) and ``recall`` by class, None without images.

    ``resolved`` holds the values used for train's ``auto`` settings.
    """

    objective: float
    recall: dict[str, float | None]
    n_judged: int
    n_train: int
    epochs: int
    best_epoch: int
    seconds: float
    latency_ms: float | None
    metrics: dict[str, float | None]
    mlflow_run: str | None
    resolved: dict[str, Any]

    @property
    def worst_recall(self) -> float | None:
        """The recall of the worst class."""
        return min((value for value in self.recall.values() if value is not None), default=None)


def warm_up() -> None:
    """Imports a training's modules while a worker process waits for its first job."""
    from hallmark.contracts import runtime

    runtime.prepare()
    for name in HEAVY:
        importlib.import_module(name)


def run(job: Job) -> Outcome:
    """Runs the job in this process, or returns its earlier result."""
    done = read(job.folder)
    if done is not None:
        return done
    _isolate(job)
    started = time.perf_counter()
    from hallmark.tracking.runs import nested

    module = importlib.import_module(f"{job.package}.{job.stage.name}")
    with ExitStack() as stack:
        stack.enter_context(working_in(job.folder))
        stack.enter_context(nested(job.parent, dict(job.tags)))
        if job.follow is not None:
            from hallmark.learning.epoch_hook import on_epoch_end

            stack.enter_context(on_epoch_end(job.follow))
        from hallmark.pipeline.execution import execute

        # what validation judges must not learn from the validation images
        params = job.params if job.judged is not None else dataclasses.replace(job.params, refit=False)
        report = execute(job.stage, module, params, job.folder)
        seconds = time.perf_counter() - started
        facts = json.loads((job.folder / "reports" / "run.json").read_text(encoding="utf-8"))[job.stage.name]
        outcome = _judge(job, report, seconds=seconds, mlflow_run=facts.get("mlflow_run"))
    text = json.dumps(dataclasses.asdict(outcome), indent=2, allow_nan=False)
    durable.write_text(job.folder / RESULT, text + "\n")
    _tidy(job)
    return outcome


def read(folder: Path) -> Outcome | None:
    """The result of the finished trial in a folder, None if there is none."""
    try:
        return Outcome(**json.loads((folder / RESULT).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def identity(stage: Stage, params: Any, data: Path, code: Sequence[Path], **more: Any) -> str:
    """16 hexadecimal digits of everything that determines a training: values, inputs, code.

    The tracking settings are left out.
    """
    values = {name: value for name, value in dataclasses.asdict(params).items() if name != "tracking"}
    return digest({"stage": stage.name, "values": values, **more}, [data / "data" / name for name in INPUTS], code)[:16]


def digest(values: Mapping[str, Any], files: Sequence[Path], code: Sequence[Path]) -> str:
    """SHA-256 of plain values, of files' bytes and of all Python files below the folders of ``code``."""
    total = hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode())
    sources = [path for folder in code for path in sorted(folder.rglob("*.py"))]
    for path in [*files, *sources]:
        total.update(f"\x1f{path.parent.name}/{path.name}={digests.of_file(path)}".encode())
    return total.hexdigest()


def located(params: Any, root: Path) -> Any:
    """Params of train that work from any folder: a backbone folder of the workspace becomes an absolute path."""
    backbone = backbone_path(params.model.backbone, root)
    if backbone == params.model.backbone:
        return params
    return dataclasses.replace(params, model=dataclasses.replace(params.model, backbone=backbone))


def backbone_path(backbone: str, root: Path) -> str:
    """A backbone's name, or its absolute path if it is a folder of the workspace."""
    if not (root / backbone).is_dir():
        return backbone
    return str((root / backbone).resolve())


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Runs the block with ``folder`` as the working directory, which a stage's relative paths refer to."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _isolate(job: Job) -> None:
    """Creates the folder with links to the inputs, the content-addressed image cache and the MLflow journals, which may
    outlive the trial.
    """
    (job.folder / "data").mkdir(parents=True, exist_ok=True)
    for name in job.stage.inputs:
        _link(job.folder / job.stage.path(name), job.data / job.stage.path(name))
    (job.folder / ".hallmark").mkdir(exist_ok=True)
    for name, target in (("cache", job.cache), ("tracking", job.cache.parent / "tracking")):
        target.mkdir(parents=True, exist_ok=True)
        _link(job.folder / ".hallmark" / name, target)


def _link(link: Path, target: Path) -> None:
    if not target.exists():
        raise HallmarkError(f"{target} does not exist", remedy="run the stage that writes it first")
    durable.remove(link)
    link.symlink_to(target.resolve(), target_is_directory=True)


def _tidy(job: Job) -> None:
    """Removes all but the result and, with ``keep``, the predictions and the model."""
    durable.remove(job.folder / ".hallmark")
    if not job.keep:
        durable.remove(job.folder / "data")
        durable.remove(job.folder / "reports")
        return
    for name in job.stage.inputs:
        durable.remove(job.folder / job.stage.path(name))


def _judge(job: Job, report: Mapping[str, Any], *, seconds: float, mlflow_run: str | None) -> Outcome:
    from hallmark.experiments import judging

    judgement = judging.judge(job.folder, judged=job.judged, objective=job.params.objective)
    durable.remove(job.folder / judging.PREDICTIONS)
    if job.keep:
        judgement.table.to_parquet(job.folder / judging.PREDICTIONS, index=False, compression="zstd")
    return Outcome(
        objective=judgement.objective,
        recall=judgement.recall,
        n_judged=len(judgement.table),
        n_train=report["n_train"],
        epochs=report["epochs"],
        best_epoch=report["best_epoch"],
        seconds=round(seconds, 3),
        latency_ms=judging.latency_ms(job.folder) if job.latency else None,
        metrics=judgement.metrics,
        mlflow_run=mlflow_run,
        resolved={f"train.{name}": report[name] for name in RESOLVED},
    )
