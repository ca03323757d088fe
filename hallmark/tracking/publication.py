"""What MLflow's pages show of how a model was judged: figures with intervals, data, and a description."""

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

DESCRIBED = "hallmark.described"  # the digest of a description as we wrote it
_LINK = "mlflow.modelVersions"


@dataclass(frozen=True, kw_only=True)
class Published:
    """What MLflow's pages of a version, its model and its training run tell of how it was judged.

    ``figures`` are metrics by name, ``dataset`` what they were measured on, ``tags`` of the run; ``version_text`` gives
    the description of a version by its number, ``model_text`` is that of the registered model. ``at`` is the time, in
    milliseconds since the epoch.
    """

    figures: Mapping[str, float]
    dataset: Mapping[str, str] | None
    tags: Mapping[str, str]
    version_text: Callable[[int], str]
    model_text: str
    at: int

    def tell(self, client: MlflowClient, tracking: Tracking, name: str, number: int, weights: Path, model: Any) -> None:
        """Figures, data set and description, on the version, its logged model (if any) and the run that trained it."""
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
            linked = json.dumps([{"name": name, "version": number}])  # MLflow's own link, by which its pages go
            client.set_logged_model_tags(model.model_id, {runs.NOTE: text, _LINK: linked})
        if _is_ours(version.description, version.tags):
            client.update_model_version(name, str(number), text)
            client.set_model_version_tag(name, str(number), DESCRIBED, card.mark(text))
        registered = client.get_registered_model(name)
        if _is_ours(registered.description, registered.tags):
            client.update_registered_model(name, self.model_text)
            client.set_registered_model_tag(name, DESCRIBED, card.mark(self.model_text))


def published(
    root: Path, train: Path, evaluate: Path, *, name: str, decision: str, reasons: Sequence[str]
) -> Published:
    """What to show of the model in ``train`` as it was judged in ``evaluate``; ``root`` is the workspace."""
    figures = json.loads((evaluate / "figures.json").read_text(encoding="utf-8"))
    model = json.loads((train / "model.json").read_text(encoding="utf-8"))
    source = dataset.source_of(root)
    described = card.Card(
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
        version_text=described.version,
        model_text=described.registered(),
        at=int(time.time() * 1000),
    )


def refuse(tracking: Tracking, *, weights: Path, published: Published) -> None:
    """Tells the training run of a refused model how it was judged. The registry learns nothing of it.

    Where MLflow is away that waits in ``.hallmark/tracking``; where there is no store yet there is no run either.
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
    """Whether a description is none, or as we wrote it: one that a person changed is left alone."""
    return not description or tags.get(DESCRIBED) == card.mark(description)
