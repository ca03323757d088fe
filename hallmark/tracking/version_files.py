"""The files kept with a version of a registered model: on this machine's disk, or fetched from the artifact store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

from hallmark.contracts.errors import MachineError
from hallmark.tracking import address, integrity, store

if TYPE_CHECKING:
    from hallmark.tracking.lookup import Version


def file_of(name: str, version: Version, path: str, scratch: Path) -> Path | None:
    """As :func:`located`, after checking the digest in the registry.

    A version registered without digests passes. Raises MachineError if a file has changed.
    """
    local = located(name, version, path, scratch)
    if local is not None and integrity.FILES in version.tags:
        what = f"version {version.number} of model '{name}'"
        if local.is_dir():
            integrity.read(local, integrity.recorded(name, version, path), what=what)
        else:
            root, _, last = path.rpartition("/")
            expected = {last: integrity.recorded(name, version, root).get(last, "")}
            integrity.read(local.parent, expected, what=what, whole=False)
    return local


def located(name: str, version: Version, path: str, scratch: Path) -> Path | None:
    """A file or folder of a version: its own path if it is on this machine, else a copy in ``scratch``.

    None if the version has no such file. Raises MachineError if its artifacts cannot be reached.
    """
    folder = local_folder(version)
    if folder is not None:
        if not folder.exists():
            raise MachineError(
                f"version {version.number} of model '{name}' has lost its files: no folder {folder}",
                remedy="bring the folder back, or delete the version in MLflow and register again",
            )
        return folder / path if (folder / path).exists() else None
    client = store.client()
    import mlflow.artifacts
    from mlflow.exceptions import MlflowException

    uri = client.get_model_version_download_uri(name, str(version.number))
    try:
        if not _holds(name, version, path, uri):
            return None
        return Path(
            mlflow.artifacts.download_artifacts(
                artifact_uri=f"{uri}/{path}", dst_path=str(scratch), tracking_uri=address.tracking_uri()
            )
        )
    except (MlflowException, OSError) as error:
        raise MachineError(
            f"the files of version {version.number} of model '{name}' cannot be read ({error})",
            remedy="check that the artifact store answers",
        ) from error


def _holds(name: str, version: Version, path: str, uri: str) -> bool:
    """Whether a version in an artifact store has ``path``: downloading what it lacks raises as an outage does.

    The digests in the registry say so; of a version registered without them, the store's list of the folder.
    """
    if integrity.FILES in version.tags:
        files = integrity.recorded(name, version, "")
        return any(each == path or each.startswith(f"{path}/") for each in files)
    import mlflow.artifacts

    parent, _, last = path.rpartition("/")
    listed = mlflow.artifacts.list_artifacts(artifact_uri=f"{uri}/{parent}", tracking_uri=address.tracking_uri())
    return any(each.path.rpartition("/")[2] == last for each in listed)


def local_folder(version: Version) -> Path | None:
    """The folder of a version's files on this machine, also after the workspace was moved; None if remote."""
    location = version.folder or ""
    parts = urlparse(location)
    if parts.scheme not in ("", "file") or not location:
        return None
    folder = Path(unquote(parts.path)) if parts.scheme else Path(location)
    database = address.database(address.registry_uri())
    if not folder.exists() and database is not None and address.ARTIFACTS.name in folder.parts:
        tail = folder.parts[folder.parts.index(address.ARTIFACTS.name) :]
        moved = database.parent.joinpath(*tail)
        return moved if moved.exists() else folder
    return folder
