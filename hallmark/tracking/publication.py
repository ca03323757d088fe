"""Publishes a model's evaluation to MLflow: metrics with intervals, the data set, and a description."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hallmark.contracts import digests
from hallmark.tracking import address, card, dataset, delivery, journal, lineage, outbox, runs, store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlflow.tracking import MlflowClient

    from hallmark.tracking.params import Tracking

DESCRIBED = "hallmark.described"  # the fingerprint of the description that Hallmark wrote
_LINK = "mlflow.modelVersions"


@dataclass(frozen=True, kw_only=True)
class Published:
    """An evaluation as MLflow shows it on the pages of a version, its logged model and its training run.

    ``figures`` has metrics by name, ``dataset`` the data they were measured on, ``tags`` the run's tags.
    ``version_text`` returns a version's description by its number; ``model_text`` describes the registered model.
    ``at`` is the time in milliseconds since the epoch.
    """

    figures: Mapping[str, float]
    dataset: Mapping[str, str] | None
    tags: Mapping[str, str]
    version_text: Callable[[int], str]
    model_text: str
    at: int

    def write(
        self, client: MlflowClient, tracking: Tracking, name: str, number: int, weights: Path, model: Any
    ) -> None:
        """Writes figures, data set and description to the version, its logged model (if any) and its training run."""
        from mlflow.entities import RunTag

        version = client.get_model_version(name, str(number))
        run_id = runs.run_of(client, store.experiment(client, tracking.experiment), weights) or version.run_id
        if self.dataset is not None:
            delivery.log_dataset(client, run_id, self.dataset, context=dataset.EVALUATION)
        delivery.log_figures(
            client,
            run_id,
            self.figures,
            at=self.at,
            model_id=None if model is None else model.model_id,
            dataset=self.dataset,
        )
        client.log_batch(run_id, tags=[RunTag(key, value) for key, value in self.tags.items()])
        text = self.version_text(number)
        if model is not None:
            linked = json.dumps([{"name": name, "version": number}])  # the link that MLflow's UI follows
            client.set_logged_model_tags(model.model_id, {runs.NOTE: text, _LINK: linked})
        if _is_ours(version.description, version.tags):
            client.update_model_version(name, str(number), text)
            client.set_model_version_tag(name, str(number), DESCRIBED, card.fingerprint(text))
        registered = client.get_registered_model(name)
        if _is_ours(registered.description, registered.tags):
            client.update_registered_model(name, self.model_text)
            client.set_registered_model_tag(name, DESCRIBED, card.fingerprint(self.model_text))


def published(
    root: Path, train: Path, evaluate: Path, *, name: str, decision: str, reasons: Sequence[str]
) -> Published:
    """The evaluation in ``evaluate`` of the model in ``train``, for MLflow; ``root`` is the workspace."""
    figures = json.loads((evaluate / "figures.json").read_text(encoding="utf-8"))
    model = json.loads((train / "model.json").read_text(encoding="utf-8"))
    source = dataset.source_of(root)
    description = card.Card(
        name=name,
        figures=figures,
        model=model,
        data=lineage.data(root, source=source),
        decision=decision,
        reasons=reasons,
    )
    support = {label: row["support"] for label, row in figures["per_class"].items()}
    tested = {"images": figures["n_test"], "classes": support}
    return Published(
        figures=card.values(figures),
        dataset=dataset.describe([evaluate / "predictions.parquet"], source=source, profile=tested, part="test"),
        tags={"hallmark.decision": decision, "hallmark.reasons": "; ".join(reasons)},
        version_text=description.version,
        model_text=description.registered(),
        at=int(time.time() * 1000),
    )


def refuse(tracking: Tracking, *, weights: Path, published: Published) -> None:
    """Writes the evaluation of a refused model to its training run, and nothing to the registry.

    If MLflow does not answer, the records wait in ``.hallmark/tracking``; without a store there is no run either.
    """
    database = address.database(address.tracking_uri())
    if database is not None and not database.exists():
        return
    output = (weights.name, digests.of_file(weights))
    header = journal.Header(
        uri=address.tracking_uri(),
        experiment=tracking.experiment,
        stage="register",
        key=output[1],
        started=published.at,
        made=output,
    )
    pending = journal.begin(header, Path())
    pending.add("figures", values=dict(published.figures), at=published.at)
    pending.add("tags", tags=dict(published.tags))
    pending.release()
    outbox.deliver()


def _is_ours(description: str | None, tags: Mapping[str, str]) -> bool:
    """Whether a description is empty or unchanged since Hallmark wrote it; a person's edits are kept."""
    return not description or tags.get(DESCRIBED) == card.fingerprint(description)
