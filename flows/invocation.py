"""Common start of a command: find the workspace, read its arguments and params, check its servers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.environment import prepare

if TYPE_CHECKING:
    from collections.abc import Sequence

STOPPED = "stopped; finished work is kept: run the same command again to resume"


# what makes a folder a workspace
OF_A_WORKSPACE = ("params.yaml", "dvc.yaml")


def current_folder() -> Path:
    """The current folder. Raises InputError if it was deleted."""
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        from hallmark.contracts.errors import InputError

        raise InputError("the current folder no longer exists", remedy="change to the root of a workspace") from error


def root_folder() -> Path:
    """The current folder, the root of the workspace. Raises InputError if it is none."""
    root = current_folder()
    missing = [name for name in OF_A_WORKSPACE if not (root / name).is_file()]
    if missing:
        from hallmark.contracts.errors import InputError
        from hallmark.contracts.names import ANOTHER_FOLDER

        raise InputError(f"no {' and no '.join(missing)} in {root}", remedy=ANOTHER_FOLDER)
    return root


def changes(arguments: Sequence[str], root: Path) -> list[str]:
    """The overrides that the arguments of ``hallmark run`` mean: a path is the new ``ingest.source``.

    An argument is a path if it names a file or folder, or has no ``=``. Raises InputError if there is nothing at the
    path, or more than one source.
    """
    from hallmark.contracts.errors import InputError
    from hallmark.contracts.names import DEMO
    from hallmark.pipeline.overrides import as_overrides

    paths = [each for each in arguments if "=" not in each or os.path.lexists(root / each)]
    others = [each for each in arguments if each not in paths]
    for path in paths:
        if path != DEMO and not os.path.lexists(root / path):
            raise InputError(
                f"there is no file or folder '{path}' (looked at {root / path})",
                remedy="give the path of your images, or a change to params.yaml as key=value or group=preset",
            )
    named = [*paths, *(each for each in others if each.startswith("ingest.source="))]
    if len(named) > 1:
        raise InputError(
            f"{len(named)} sources are given: {', '.join(named)}",
            remedy="give one: a folder, an archive or a manifest of all images",
        )
    # photos/ is photos, as a shell completes it: another text would be another setting
    sources = [path.rstrip("/") or path for path in paths]
    return [*(override for path in sources for override in as_overrides({"ingest.source": path})), *others]


def prepare_with_servers(root: Path) -> None:
    """Prepares the environment and reports unreachable servers before the slow imports."""
    from flows import prefect_server
    from hallmark.tracking import reachability

    prepare(root)
    prefect_server.check_early()
    reachability.check()


def stage_params_of(root: Path) -> dict[str, Any]:
    """The params of every stage, by its name. Raises InputError for a fault in params.yaml."""
    from hallmark.pipeline.configuration import stage_params
    from tasks import STAGES

    return stage_params(STAGES, root, package="tasks")
