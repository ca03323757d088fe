"""Common start of a command: find the workspace, read its params, check its servers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.environment import prepare

STOPPED = "stopped; finished work is kept: run the same command again to resume"


def root_folder() -> Path:
    """The current folder, the root of the workspace. Raises InputError if it was deleted."""
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        from hallmark.contracts.errors import InputError

        raise InputError("the current folder no longer exists", remedy="change to the root of a workspace") from error


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
