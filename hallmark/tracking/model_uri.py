"""``models:/<name>@<alias>`` and ``models:/<name>/<version>``, MLflow's own way to name a registered model."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hallmark.contracts.errors import InputError
from hallmark.tracking import registry, version_files

if TYPE_CHECKING:
    from pathlib import Path

    from hallmark.tracking.lookup import Version

_URI = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")


def parse(uri: str, *, where: str) -> tuple[str, str | None, int | None]:
    """Name, alias and number; one of the two last is None. Raises InputError that names ``where`` it was given."""
    parts = _URI.fullmatch(uri)
    if parts is None:
        raise InputError(f"{where} is '{uri}'", remedy="give models:/<name>@<alias> or models:/<name>/<version>")
    return parts["name"], parts["alias"], int(parts["version"]) if parts["version"] else None


def package(uri: str, scratch: Path, *, where: str) -> tuple[Path, Version]:
    """The package of a registered model: in its place where that is on this machine, else a copy in ``scratch``.

    Raises InputError where the registry has no such version, or one without a package; MachineError where its files
    cannot be reached.
    """
    name, alias, number = parse(uri, where=where)
    version = registry.aliased(name, alias) if alias else registry.numbered(name, number or 0)
    if version is None:
        raise InputError(
            f"{where}: the registry has no {uri}", remedy="`mlflow ui` shows those there are; `hallmark run` registers"
        )
    folder = version_files.file_of(name, version, registry.PACKAGE, scratch)
    if folder is None:
        raise InputError(
            f"{where}: version {version.number} of model '{name}' holds no package of Hallmark",
            remedy="name a version that `hallmark run` registered",
        )
    return folder, version
