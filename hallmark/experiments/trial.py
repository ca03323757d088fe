"""One training in isolation: a folder of its own that sees the inputs and shares nothing else with the workspace.

The stage train runs as ever, with its params validated as ever; only where it writes is another place. A finished trial
leaves ``result.json`` and is never repeated; one that was killed is taken up from its checkpoint.
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
    """A training to be done: ``stage`` of ``package`` with ``params`` on the inputs below ``data``, in ``place``.

    ``cache`` is the workspace's cache folder, ``parent`` the MLflow run that its run is shown below, with ``tags``;
    ``follow`` is told of each epoch. ``judged`` are the paths of images to be judged afterwards, None for the
    validation images. With ``latency`` the time of one image is measured; with ``keep`` model and predictions stay.
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
    """What a training came to: ``objective`` is higher for better; ``recall`` by class, None where it has no image.

    ``resolved`` are the values of train that were ``auto``, as they were trained with.
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
    """Imports what a training needs, so that a process that waits for its first job does so meanwhile."""
    from hallmark.contracts import runtime

    runtime.prepare()
    for name in HEAVY:
        importlib.import_module(name)


def run(job: Job) -> Outcome:
    """Does the job, in this process, or reads what it came to before."""
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

        report = execute(job.stage, module, job.params, job.folder)
        seconds = time.perf_counter() - started
        facts = json.loads((job.folder / "reports" / "run.json").read_text(encoding="utf-8"))[job.stage.name]
        outcome = _judge(job, report, seconds=seconds, mlflow_run=facts.get("mlflow_run"))
    text = json.dumps(dataclasses.asdict(outcome), indent=2, allow_nan=False)
    durable.write_text(job.folder / RESULT, text + "\n")
    _tidy(job)
    return outcome


def read(folder: Path) -> Outcome | None:
    """What the finished trial of a folder came to, None where none is finished there."""
    try:
        return Outcome(**json.loads((folder / RESULT).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def identity(stage: Stage, params: Any, data: Path, code: Sequence[Path], **more: Any) -> str:
    """16 hexadecimal digits of everything a training follows from: values, inputs, code.

    Where runs are tracked is no part of it.
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
    """Params of train that mean the same from any folder: a backbone given as a folder of the workspace by its path."""
    backbone = backbone_path(params.model.backbone, root)
    if backbone == params.model.backbone:
        return params
    return dataclasses.replace(params, model=dataclasses.replace(params.model, backbone=backbone))


def backbone_path(backbone: str | None, root: Path) -> str | None:
    """A backbone's name; of one that is a folder of the workspace the whole path, for another working directory."""
    if backbone is None or not (root / backbone).is_dir():
        return backbone
    return str((root / backbone).resolve())


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """The block with ``folder`` as the working directory: relative places of a stage are then its own."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _isolate(job: Job) -> None:
    """The folder: links to the inputs, to the cache of decoded images, which is named by content, and to what waits for
    MLflow, which may outlive the trial.
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
        raise HallmarkError(f"{target} is not there", remedy="run the stages before it first")
    durable.remove(link)
    link.symlink_to(target.resolve(), target_is_directory=True)


def _tidy(job: Job) -> None:
    """Leaves the result, the predictions and, where asked for, the model."""
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
