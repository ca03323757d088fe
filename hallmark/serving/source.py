"""Resolves a model URI to a package: the registered champion, a registered version, or a trained model."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hallmark.contracts import runtime
from hallmark.contracts.errors import InputError, MachineError
from hallmark.serving.classifier import FILES
from hallmark.tracking import integrity, model_uri, reachability, registry, version_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hallmark.tracking.lookup import Version

TRAIN = Path("data/train")
_EXPORTED = "files.json"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A package with its name and version.

    ``files``: the contents of a classifier's :data:`FILES`, checked against the registry's digests. ``version``: None
    if the model is not registered. ``temperature``: fitted on the validation images, None if there is none (see
    :func:`hallmark.statistics.temperature.rescaled`).
    """

    files: Mapping[str, bytes]
    name: str
    version: int | None
    digest: str
    temperature: float | None = None


def resolve(uri: str, *, fallback: Path | None = None) -> Source:
    """The package of ``models:/<name>@<alias>``, ``models:/<name>/<version>``, or of a folder of the train stage.

    If the name has no champion, the model in the folder ``fallback`` (which no gate has passed) is used with a
    warning. Raises InputError if there is no such model, MachineError if a file of the package differs from the
    registered one.
    """
    if not uri.startswith("models:"):
        if not (Path(uri) / "model.json").is_file():
            raise InputError(f"no model in folder '{uri}'", remedy="give data/train or models:/<name>@champion")
        return trained(Path(uri))
    name, alias, number = model_uri.parse(uri, param="model")
    reachability.check(writes=False)
    version = registry.aliased(name, alias) if alias else registry.numbered(name, number or 0)
    if version is not None:
        return _registered(name, version)
    if alias == registry.CHAMPION and fallback is not None and (fallback / "model.json").is_file():
        _log.warning("The registry has no %s: using the model in %s, which no gate has passed", uri, fallback)
        return trained(fallback)
    raise InputError(
        f"the registry has no {uri}", remedy="`hallmark run` registers a model; `mlflow ui` lists the registered ones"
    )


def trained(train: Path) -> Source:
    """The package of a model of the train stage, exported once and cached by its digest.

    Raises MachineError if the cached package no longer matches the model.
    """
    from hallmark.serving import package

    digest = package.digest(train)
    folder = _cached(digest)
    if not folder.exists():
        scratch = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
        try:
            package.export(train, scratch)
            (scratch / _EXPORTED).write_text(integrity.digests(scratch), encoding="utf-8")
            _move_to_cache(scratch, folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    files = _exported(folder, digest)
    return Source(files=files, name=train.as_posix(), version=None, digest=digest)


def _exported(folder: Path, digest: str) -> dict[str, bytes]:
    """The files of a cached package, checked against the digests written at export and against the model."""
    from hallmark.serving import package

    what = "the package exported from a trained model"
    try:
        digests = json.loads((folder / _EXPORTED).read_text(encoding="utf-8"))
        files = integrity.read(folder, digests, what=what, keep=FILES, beside=(_EXPORTED,))
        if package.digest_of(digests) == digest:
            return files
        problem = f"{_EXPORTED} names other files"
    except (OSError, ValueError, AttributeError) as error:
        problem = f"{_EXPORTED} cannot be read: {error}"
    raise MachineError(f"{what} is damaged ({problem})", remedy=f"delete {folder}: it is exported again")


def _registered(name: str, version: Version) -> Source:
    digest = version.tags.get(registry.DIGEST)
    if digest is None:
        raise InputError(
            f"version {version.number} of model '{name}' was not registered by Hallmark",
            remedy="serve it with `mlflow models serve`, or name another version",
        )
    expected = integrity.recorded(name, version, registry.PACKAGE)
    folder = version_files.local_folder(version)
    if folder is not None:
        located = version_files.located(name, version, registry.PACKAGE, folder)
    else:
        located = _cached(digest)
        if not located.exists():
            scratch = Path(tempfile.mkdtemp(prefix=".partial-", dir=located.parent))
            try:
                copy = version_files.located(name, version, registry.PACKAGE, scratch)
                if copy is not None:
                    _move_to_cache(copy, located)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    if located is None or not expected:
        raise InputError(
            f"version {version.number} of model '{name}' holds no package", remedy="register the model again"
        )
    beside = () if folder is not None else (_EXPORTED,)  # cached before it was registered
    what = f"version {version.number} of model '{name}'"
    files = integrity.read(located, expected, what=what, keep=FILES, beside=beside)
    return Source(
        files=files, name=name, version=version.number, digest=digest, temperature=registry.temperature(version)
    )


def _cached(digest: str) -> Path:
    folder = runtime.state() / "cache" / "packages"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / digest


def _move_to_cache(new: Path, target: Path) -> None:
    """Renames a complete package to ``target``, unless another process did so first."""
    try:
        os.rename(new, target)
    except OSError:
        if not target.exists():
            raise
