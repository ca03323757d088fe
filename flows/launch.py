"""``hallmark run``: start the flow if a stage is out of date, and print a summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flows import prefect_server, summary
from flows.environment import prepare, recover, writes_to
from hallmark.contracts.errors import GateRefused
from hallmark.contracts.names import DEMO
from hallmark.pipeline.configuration import check_sources
from hallmark.pipeline.dvcfile import CODE, digest_file, modules
from hallmark.pipeline.execution import check_git_inputs
from hallmark.pipeline.explanation import announce
from hallmark.pipeline.lock import exclusive
from hallmark.pipeline.machine import require_space
from hallmark.tracking import reachability
from tasks import STAGES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from flows.console import Console
    from hallmark.versioning.workspace import Workspace


def launch(root: Path, params: Mapping[str, Any], console: Console) -> None:
    """Runs the flow in this process. Raises the error of the stage that failed; GateRefused for a refused model."""
    prepare(root)
    prefect_server.check_early()
    reachability.check()
    with exclusive(root, "hallmark run"), console.live():
        from hallmark.tracking import outbox
        from hallmark.tracking.registry import receipt_matches
        from hallmark.versioning.recorded import with_other_code
        from hallmark.versioning.workspace import Workspace

        recover(root, console)
        check_sources(STAGES, params, root, created=(DEMO,))
        for stage in STAGES:
            check_git_inputs(stage, root)
        outbox.deliver(root)
        workspace = Workspace(root)
        workspace.settle_by_command(CODE)  # an edit that no stage uses leaves nothing to do
        if changed := with_other_code(root, _digests(root)):
            console.say(announce(changed))
        if not workspace.changed() and receipt_matches(root / "data" / "register" / "receipt.json"):
            console.say("Nothing to do: every stage is up to date.")
            outcomes = {stage.name: ("cached", 0.0) for stage in STAGES}
        else:
            outcomes = _run_flow(workspace, params, console)
    result = summary.read(root, outcomes)
    console.sum_up(result, root)
    if result.refused:
        raise GateRefused(f"the model was refused: {result.refused}", remedy="reports/index.html shows why")


def _digests(root: Path) -> dict[str, str]:
    """The texts of the digest files that the DVC stage ``code`` wrote, by stage."""
    return {name: (root / digest_file(name)).read_text(encoding="utf-8") for name in modules(STAGES)}


def _run_flow(workspace: Workspace, params: Mapping[str, Any], console: Console) -> dict[str, tuple[str, float]]:
    """What each stage did: ('ran' | 'cached' | 'restored', seconds). Raises the error of the stage that failed."""
    outcomes: dict[str, tuple[str, float]] = {}

    def announce(stage: str, what: str, seconds: float) -> None:
        outcomes[stage] = what, seconds
        console.announce(stage, what, seconds)

    prefect_server.check()
    require_space(*writes_to(workspace.root))
    console.say("Starting the flow (on a local Prefect server unless PREFECT_API_URL is set) ...")
    from flows.adapters import raise_error
    from flows.training import run_here

    state = run_here(workspace, params, announce)
    if state.is_completed() or state.name == "Refused":
        return outcomes
    try:
        raise_error(state)
    except GateRefused:
        console.warn(f"Details: {workspace.root / '.hallmark' / 'refusals'}")
        raise
