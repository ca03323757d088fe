"""params.yaml before a run: applies overrides, checks the whole file, and only then writes it."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import os
import stat
from typing import TYPE_CHECKING, Any

from hallmark.contracts import require
from hallmark.contracts.durable import write_text
from hallmark.contracts.errors import InputError, MachineError
from hallmark.contracts.names import DEMO, NO_FOLDER
from hallmark.pipeline import overrides as hydra
from hallmark.pipeline.params import Document, build_all, read

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from hallmark.pipeline.stage import Stage

SOURCE = "ingest.source"
_NONE = f"give a path that is there, or {NO_FOLDER} for none"
_REMEDIES = {
    SOURCE: "give the path of a folder, archive or manifest of labelled images: hallmark run /path/to/images",
    "validate.suites": "give the folder of the expectation suites",
}


def stage_params(stages: Sequence[Stage], root: Path, *, package: str) -> dict[str, Any]:
    """The Params of every stage from params.yaml. Raises InputError that lists all faults."""
    return _build(read(root / "params.yaml"), stages, package)


def configure(
    stages: Sequence[Stage],
    root: Path,
    overrides: Sequence[str],
    *,
    package: str,
    all_sources: bool = False,
) -> dict[str, Any]:
    """Applies Hydra overrides to params.yaml and returns the Params of every stage.

    The file is written only if the result is valid and differs. Every path that an override changes must exist, except
    data/demo, which a stage creates; ``all_sources`` checks the other paths too. Raises InputError or MachineError and
    then leaves the file unchanged.
    """
    path = root / "params.yaml"
    if not overrides:
        return stage_params(stages, root, package=package)
    document = read(path)
    before = copy.deepcopy(document.values)
    hydra.refuse(hydra.misspelt(document.values, overrides, conf=root / "conf"))
    plain = hydra.plain_values(overrides, conf=root / "conf")
    if plain is not None:
        params_with(stages, document, plain, package=package)  # reports faults before the slow import of Hydra
    old = path.read_text(encoding="utf-8")
    new = hydra.apply(old, overrides, conf=root / "conf")
    params = _build(Document(new, name=path.name), stages, package)
    check_sources(stages, params, root, created=(DEMO,), unless=None if all_sources else before)
    watch = _folder_to_watch(params, overrides, root)
    if watch is not None:
        new = hydra.apply(new, [watch], conf=root / "conf")
        params = _build(Document(new, name=path.name), stages, package)
    if new != old:
        write_text(path, new)
    return params


def params_with(
    stages: Sequence[Stage], document: Document, values: Mapping[str, Any], *, package: str
) -> dict[str, Any]:
    """The Params of every stage with the values of some dotted keys changed; writes nothing.

    Raises InputError that lists all faults, including keys that params.yaml does not have.
    """
    changed = copy.copy(document)
    changed.values = copy.deepcopy(document.values)
    hydra.refuse([fault for key, value in values.items() if (fault := hydra.set_value(changed.values, key, value))])
    return _build(changed, stages, package)


def _folder_to_watch(params: Mapping[str, Any], overrides: Sequence[str], root: Path) -> str | None:
    """The override of ingest.images to match a new ingest.source; None if none is needed or both are set."""
    set_here = {override.partition("=")[0] for override in overrides}
    if SOURCE not in set_here or "ingest.images" in set_here:
        return None
    from hallmark.images.bounds import Bounds
    from hallmark.images.watched import folder_of_images

    ingest = params["ingest"]
    bounds = Bounds(**{name.name: getattr(ingest, name.name) for name in dataclasses.fields(Bounds)})
    with require.within("ingest"):
        folder = folder_of_images(ingest.source, root, follow_outside=ingest.follow_outside, bounds=bounds)
    quoted = folder.replace("'", "\\'")
    return None if folder == params["ingest"].images else f"ingest.images='{quoted}'"


def check_sources(
    stages: Sequence[Stage],
    params: Mapping[str, Any],
    root: Path,
    *,
    created: Collection[str] = (),
    unless: Mapping[str, Any] | None = None,
) -> None:
    """Raises InputError if a path in params.yaml is missing or holds outputs, or if the source is empty.

    DVC's message for a missing dependency names no parameter. Not checked are ``created``, paths that a stage creates,
    and paths with the same value in ``unless``, the parsed params.yaml before a change.
    """
    for number, stage in enumerate(stages):
        for name in stage.sources:
            section, _, key = name.partition(".")
            value = getattr(params[section], key)
            if value in created or (unless is not None and unless.get(section, {}).get(key) == value):
                continue
            try:
                _check_path(name, value, root)
                _check_apart(name, value, root, stages[number:])
                if name == SOURCE:
                    _check_images(value, root)
            except PermissionError as error:
                raise MachineError(
                    f"no permission to read '{value}'",
                    field=name,
                    remedy="ask its owner for access, or copy it to a folder you may read",
                ) from error


def _check_path(name: str, value: str, root: Path) -> None:
    path = root / value
    if path.is_symlink() and not path.exists():
        raise InputError(f"'{value}' is a broken link", remedy="repair the link or give another path", field=name)
    remedy = _REMEDIES.get(name, _NONE) if value != NO_FOLDER else f"git restore {NO_FOLDER} brings it back"
    if not path.exists():
        raise InputError(f"there is no '{value}' (looked at {path})", remedy=remedy, field=name)
    mode = path.stat().st_mode
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise InputError(f"'{value}' is neither a folder nor a regular file", remedy=remedy, field=name)


def _check_apart(name: str, value: str, root: Path, stages: Sequence[Stage]) -> None:
    """Raises InputError for a path that holds, is or lies in an output of its stage or a later one."""
    path = os.path.realpath(root / value)
    for stage in stages:
        for output in (*map(stage.path, stage.outputs), stage.report):
            written = os.path.realpath(root / output)
            shared = os.path.commonpath([path, written])
            if shared in (path, written):
                how = "is" if path == written else "holds" if shared == path else "is inside"
                raise InputError(
                    f"'{value}' {how} {output}, which the stage {stage.name} writes",
                    field=name,
                    remedy="give a folder or file outside the pipeline's outputs",
                )


def _check_images(source: str, root: Path) -> None:
    path = root / source
    if path.is_dir() and not any(path.iterdir()):
        raise InputError(
            f"the folder '{source}' is empty", remedy="put one folder of images per class into it", field=SOURCE
        )
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"the file '{source}' is empty", remedy=_REMEDIES[SOURCE], field=SOURCE)


def _build(document: Document, stages: Sequence[Stage], package: str) -> dict[str, Any]:
    classes = {stage.name: importlib.import_module(f"{package}.{stage.name}").Params for stage in stages}
    return build_all(document, classes, shared={stage.name: stage.shared for stage in stages})
