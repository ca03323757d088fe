"""The MLflow run of a training: its name, tags, params and data set at the start, its results at the end."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from hallmark.learning import record, settings
from hallmark.tracking import dataset
from hallmark.tracking.runs import NOTE, open_run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from hallmark.learning.fitted import Fitted
    from hallmark.learning.model_setup import ModelSetup
    from hallmark.learning.plan import TrainingPlan
    from hallmark.learning.training_data import TrainingData
    from hallmark.models.params import Model
    from hallmark.tracking.params import Tracking
    from hallmark.tracking.tracked_run import TrackedRun


@contextmanager
def opened(
    tracking: Tracking,
    plan: TrainingPlan,
    setup: ModelSetup,
    data: TrainingData,
    *,
    key: str,
    values: Mapping[str, object],
    model: Model,
    ingest: Path,
) -> Iterator[TrackedRun]:
    """Opens the run of a training, as :func:`hallmark.tracking.runs.open_run` does, and records its data set.

    ``key`` is the digest of everything the weights depend on, ``values`` are those of :func:`settings.executed`, and
    ``ingest`` is the folder in the workspace whose source the data set names.
    """
    with open_run(
        tracking,
        key=key,
        stage="train",
        params=values,
        name=f"{settings.title(values)} · {key[:4]}",
        tags=_tags(plan, setup, model),
        needs_store=False,
    ) as tracked:
        tracked.dataset(_described(data, ingest), context=dataset.TRAINING)
        yield tracked


def finished(tracked: TrackedRun, fitted: Fitted, values: Mapping[str, object], *, weights: Path) -> None:
    """Records the results: values decided while training, the best epoch, the file of weights, the learning curves."""
    tracked.params(settings.decided(fitted, values))
    tracked.metrics({"best_epoch": fitted.best_epoch, "epochs_trained": len(fitted.history)}, len(fitted.history))
    tracked.output(weights)
    tracked.figure("learning_curves", record.curves(fitted))


def _tags(plan: TrainingPlan, setup: ModelSetup, model: Model) -> dict[str, str]:
    """Tags for MLflow's page of the run: the reason for the network, and the values params.yaml leaves open."""
    left = ", ".join(f"{key}: {value}" for key, value in settings.left_open(plan.recipe, model).items())
    device = plan.machine.device.type
    return {NOTE: setup.why, "hallmark.device": device, "hallmark.written": left or "all values"}


def _described(data: TrainingData, ingest: Path) -> dict[str, str]:
    profile = {"images": data.n_real, "synthetic": data.n_synthetic, "validation": len(data.val_items)}
    classes = data.plan.table["label"].astype(str).value_counts().sort_index().to_dict()
    source = dataset.source_of(dataset.workspace_of(ingest))
    return dataset.describe(data.files, source=source, profile={**profile, "classes": classes})
