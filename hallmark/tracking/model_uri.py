"""MLflow's URIs of registered models: ``models:/<name>@<alias>`` and ``models:/<name>/<version>``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hallmark.contracts.errors import InputError
from hallmark.tracking import registry, version_files

if TYPE_CHECKING:
    from pathlib import Path

    from hallmark.tracking.lookup import Version

_URI = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")


def parse(uri: str, *, param: str) -> tuple[str, str | None, int | None]:
    """Name, alias and version number of a URI; alias or number is None.

    Raises InputError for another form; the message names ``param``, the key of params.yaml or the option.
    """
    parts = _URI.fullmatch(uri)
    if parts is None:
        raise InputError(f"{param} is '{uri}'", remedy="give models:/<name>@<alias> or models:/<name>/<version>")
    return parts["name"], parts["alias"], int(parts["version"]) if parts["version"] else None


def package(uri: str, scratch: Path, *, param: str) -> tuple[Path, Version]:
    """The package of a registered model: its own folder if that is on this machine, else a copy in ``scratch``.

    Raises InputError if the registry has no such version or the version no package, MachineError if its files cannot
    be reached.
    """
    name, alias, number = parse(uri, param=param)
    version = registry.aliased(name, alias) if alias else registry.numbered(name, number or 0)
    if version is None:
        raise InputError(
            f"{param}: the registry has no {uri}", remedy="`mlflow ui` lists the models; `hallmark run` registers one"
        )
    folder = version_files.file_of(name, version, registry.PACKAGE, scratch)
    if folder is None:
        raise InputError(
            f"{param}: version {version.number} of model '{name}' has no Hallmark package",
            remedy="name a version that `hallmark run` registered",
        )
    return folder, version
