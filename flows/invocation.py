"""What a command does before its own work: find the workspace, read its params, see whether servers answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.environment import prepare

STOPPED = "stopped; what was finished is kept, and the same command goes on from there"


def root_folder() -> Path:
    """The current folder, the root of the workspace. Raises InputError where it is gone."""
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        from hallmark.contracts.errors import InputError

        raise InputError("the current folder is no longer there", remedy="change to the root of a workspace") from error


def prepare_with_servers(root: Path) -> None:
    """Prepares the environment; a server that does not answer is told before the imports of seconds."""
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
