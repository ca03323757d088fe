"""The model registry: a version per model content, the aliases ``champion`` and ``challenger``.

Guarantees, each with its test:
- a content is registered once: a second registration, or one after a kill at any moment, reuses the version and
  completes it;
- an alias moves only to a complete version;
- reading an alias of a SQLite registry does not import MLflow.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hallmark.contracts.errors import HallmarkError, InputError, MachineError
from hallmark.judgement.gate import PROMOTED, REFUSED
from hallmark.tracking import (
    address,
    flavor,
    integrity,
    lookup,
    outbox,
    reachability,
    runs,
    store,
    version_files,
)
from hallmark.tracking.lookup import Version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlflow.tracking import MlflowClient

    from hallmark.tracking.params import Tracking
    from hallmark.tracking.publication import Published

CHAMPION, CHALLENGER = "champion", "challenger"
DIGEST = "hallmark.digest"
TEMPERATURE = "hallmark.temperature"  # fitted on the validation images
AGAINST = "hallmark.against"  # the champion that a version was compared with at registration or promotion
PREDICTIONS = "evaluation/predictions.parquet"
CLUSTERS = "evaluation/clusters.parquet"
PACKAGE = "artifacts/package"
RECEIPT = "receipt.json"


def aliased(name: str, alias: str) -> Version | None:
    """The version that an alias of a registered model points to, None if there is none."""
    path = address.database(address.registry_uri())
    version = lookup.alias(path, name, alias) if path is not None else lookup.UNKNOWN
    if not isinstance(version, lookup.Unknown):
        return version
    with reachability.answering():
        client = store.client()
        return _ask(lambda: client.get_model_version_by_alias(name, alias))


def compared(name: str, version: Version) -> Version | None:
    """The champion that a version was compared with, None if there was none or it is deleted."""
    against = version.tags.get(AGAINST, "")
    return numbered(name, int(against)) if against else None


def numbered(name: str, number: int) -> Version | None:
    """A version by its number, None if there is none."""
    path = address.database(address.registry_uri())
    version = lookup.version(path, name, number) if path is not None else lookup.UNKNOWN
    if not isinstance(version, lookup.Unknown):
        return version
    with reachability.answering():
        client = store.client()
        return _ask(lambda: client.get_model_version(name, str(number)))


@reachability.answering()
def register(
    tracking: Tracking,
    *,
    name: str,
    digest: str,
    package: Callable[[Path], None],
    weights: Path,
    extras: Mapping[str, Path],
    tags: Mapping[str, str],
    metrics: Mapping[str, float],
    against: int | None,
    published: Published | None = None,
) -> int:
    """The number of the version with this content, which is created if there is none.

    ``package`` writes the package into a folder and is called only for a new version; ``extras`` are files stored with
    the model, by their path in it; ``weights`` identifies the training run. The MLflow UI links the version from the
    training run and from the experiment's models. ``against`` is the champion it was compared with. Records of earlier
    runs that wait for MLflow are delivered first. Raises MachineError if MLflow does not answer.
    """
    outbox.deliver(needed=True)
    client = store.client()
    rival = "" if against is None else str(against)
    existing = _version_of(client, name, digest)
    if existing is not None:
        if existing.tags.get(AGAINST) != rival:
            client.set_model_version_tag(name, str(existing.number), AGAINST, rival)
        if published is not None:
            published.write(client, tracking, name, existing.number, weights, _model_of(client, tracking, name, digest))
        return existing.number
    experiment = store.experiment(client, tracking.experiment)
    run_id = runs.run_of(client, experiment, weights)
    if run_id is None:  # trained elsewhere, or restored from DVC's cache into a new registry
        with runs.open_run(tracking, key=digest, stage="register", params={}) as run:
            run_id = run.run_id
    model = _logged_model(client, tracking, name, digest, run_id)
    # a logged model that a kill or a deleted version left is overwritten, so that its digests match files written here
    with tempfile.TemporaryDirectory() as scratch:
        packed, folder = Path(scratch) / "package", Path(scratch) / "model"
        packed.mkdir()
        package(packed)
        flavor.save(packed, folder, model_id=model.model_id, run_id=run_id)
        for path, source in extras.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, folder / path)
        files = integrity.digests(folder)
        client.log_model_artifacts(model.model_id, str(folder))
    if str(model.status) != "READY":
        client.finalize_logged_model(model.model_id, "READY")
    _ensure_model(client, name)
    local = address.database(address.tracking_uri()) is not None
    version = client.create_model_version(
        name,
        # MLflow's SQL store would look up a models:/ source in the global tracking store
        source=model.artifact_location if local else f"models:/{model.model_id}",
        run_id=run_id,
        model_id=model.model_id,
        tags={
            **tags,
            DIGEST: digest,
            AGAINST: rival,
            integrity.FILES: files,
            "hallmark.train_run": run_id,
            **{f"hallmark.metric.{metric}": f"{value:.6g}" for metric, value in metrics.items()},
        },
    )
    number = int(version.version)
    if published is not None:
        published.write(client, tracking, name, number, weights, model)
    return number


@reachability.answering()
def point(name: str, alias: str, version: int) -> None:
    """Makes an alias point to a version; a new champion loses the alias challenger."""
    current = aliased(name, alias)
    if current is None or current.number != version:
        store.client().set_registered_model_alias(name, alias, str(version))
    other = aliased(name, CHALLENGER)
    if alias == CHAMPION and other is not None and other.number == version:
        store.client().delete_registered_model_alias(name, CHALLENGER)


def receipt_matches(receipt: Path) -> bool:
    """Whether the registry agrees with register's receipt; True for a refusal, which registers nothing.

    Raises InputError if the receipt cannot be read.
    """
    try:
        content = json.loads(receipt.read_text(encoding="utf-8"))
        name, decision, digest, version = (content[key] for key in ("model_name", "decision", "digest", "version"))
        champion = content["champion"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{receipt} is not a receipt of register ({error})", remedy="run register again") from error
    if decision == REFUSED:
        return True
    alias = CHAMPION if decision == PROMOTED else CHALLENGER
    return _is(aliased(name, alias), version, digest) and (
        decision == PROMOTED or _is(aliased(name, CHAMPION), champion["version"], champion["digest"])
    )


def check_files(name: str) -> list[tuple[str, bool]]:
    """A message, and whether the files match their recorded digests, for the champion and the challenger.

    All files of a version on this machine are checked; of a remote version, the package alone.
    """
    findings = []
    for alias in (CHAMPION, CHALLENGER):
        version = aliased(name, alias)
        if version is None or DIGEST not in version.tags:
            continue
        what = f"version {version.number} of model '{name}'"
        try:
            with tempfile.TemporaryDirectory() as scratch:
                package = version_files.located(name, version, PACKAGE, Path(scratch))
                if package is None:
                    raise MachineError(f"the package of {what} is missing", remedy="register the model again")
                integrity.read(package, integrity.recorded(name, version, PACKAGE), what=what)
                folder = version_files.local_folder(version)
                if folder is not None:
                    integrity.read(folder, integrity.recorded(name, version, ""), what=what, whole=False)
            findings.append((f"the files of {alias} {what} match their recorded digests", True))
        except HallmarkError as error:
            findings.append((f"{alias}: {error}", False))
    return findings


def temperature(version: Version) -> float | None:
    """The temperature that calibrates a version's probabilities, None if none was fitted. Raises InputError."""
    text = version.tags.get(TEMPERATURE)
    try:
        value = None if text is None else float(text)
    except ValueError:
        value = 0.0
    if value is not None and not 0 < value < float("inf"):
        raise InputError(f"the tag {TEMPERATURE} of version {version.number} is '{text}'", remedy="delete the tag")
    return value


def temperature_tag(evaluate: Path) -> dict[str, str]:
    """The tag that :func:`temperature` reads, from an evaluation; empty if no temperature was fitted."""
    fitted = json.loads((evaluate / "temperature.json").read_text(encoding="utf-8"))["temperature"]
    return {} if fitted is None else {TEMPERATURE: repr(float(fitted))}


def extras(augment: Path, evaluate: Path) -> dict[str, Path]:
    """Files stored with a version, by their path in it."""
    files = {
        PREDICTIONS: evaluate / "predictions.parquet",
        CLUSTERS: evaluate / "clusters.parquet",
        "lineage/augmentation.json": augment / "policy.json",
        "lineage/params.yaml": Path("params.yaml"),
        "lineage/dvc.lock": Path("dvc.lock"),
    }
    return {path: source for path, source in files.items() if source.is_file()}


def _is(version: Version | None, number: int, digest: str | None) -> bool:
    return version is not None and version.number == number and version.tags.get(DIGEST) == digest


def _ask(request: Callable[[], Any]) -> Version | None:
    from mlflow.exceptions import MlflowException

    try:
        answer = request()
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
    return Version(number=int(answer.version), tags=dict(answer.tags), folder=None)


def _version_of(client: MlflowClient, name: str, digest: str) -> Version | None:
    matches = client.search_model_versions(f"name = '{name}' and tag.`{DIGEST}` = '{digest}'")
    versions = [Version(number=int(each.version), tags=dict(each.tags), folder=None) for each in matches]
    return min(versions, key=lambda version: version.number, default=None)


def _model_of(client: MlflowClient, tracking: Tracking, name: str, digest: str) -> Any:
    """The logged model with a content in this experiment, None if there is none."""
    experiment = store.experiment(client, tracking.experiment)
    models = client.search_logged_models([experiment], f"tags.`{DIGEST}` = '{digest}' AND name = '{name}'")
    return models[0] if models else None


def _logged_model(client: MlflowClient, tracking: Tracking, name: str, digest: str, run_id: str) -> Any:
    model = _model_of(client, tracking, name, digest)
    if model is not None:
        return model
    experiment = store.experiment(client, tracking.experiment)
    return client.create_logged_model(experiment, name=name, source_run_id=run_id, tags={DIGEST: digest})


def _ensure_model(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
