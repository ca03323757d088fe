"""The training flow: all stages, in DVC's order, as Prefect tasks.

Prefect runs ``training`` from its UI, on a schedule, or by hand. The command line calls ``run_here``: the same flow
under the same name, which also prints its progress.
"""

# no annotations from __future__: Prefect does not resolve string annotations of a flow
import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

from prefect import flow, get_run_logger, tags
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.context import FlowRunContext
from prefect.states import Completed, Crashed, Failed

from flows import names
from flows.adapters import Run, as_task, untagged
from flows.artifacts import publish, publish_refusals
from flows.environment import terminable
from hallmark.contracts.errors import GateRefused
from hallmark.pipeline.configuration import check_sources, configure
from hallmark.pipeline.display import Display
from hallmark.pipeline.dvcfile import DEMO
from hallmark.pipeline.failures import as_hallmark_error, log_and_describe
from hallmark.pipeline.lock import exclusive
from hallmark.pipeline.machine import require_space
from hallmark.pipeline.overrides import as_overrides
from hallmark.tracking import outbox, reachability
from hallmark.versioning.health import recover
from hallmark.versioning.workspace import Workspace
from tasks import STAGES

FLOW = "training"


# for the form in Prefect's UI: choices as lists, and no parameter that may be null, which it shows as a second tab
UNCHANGED: Literal["unchanged"] = "unchanged"
Preset = Literal["unchanged", "quick"]
Model = Literal["unchanged", "cnn", "convnext", "mlp", "perceptron", "pretrained", "resnet", "vit"]


@flow(name=FLOW, flow_run_name=partial(names.started, FLOW), persist_result=False)
def training(
    source: str = "",
    preset: Preset = UNCHANGED,
    model: Model = UNCHANGED,
    overrides: list[str] = [],  # noqa: B006  Prefect's form needs a list as default; nothing changes it
) -> State[Any]:
    """Trains and registers a model from the images of the source.

    Without parameters the run uses params.yaml unchanged. Parameters are checked and written to params.yaml first.

    Args:
        source: Path on the machine that runs the flow: a folder with one folder of images per class, a folder split
            into train, val and test, a CSV or Parquet manifest, or a .zip or .tar of one of these. Empty:
            `ingest.source` of params.yaml.
        preset: A preset of conf/preset, applied first. `quick` trains a small network for few epochs, as a trial.
        model: The network, a preset of conf/model. `unchanged` keeps section `model` of params.yaml.
        overrides: Other values of params.yaml, each as `section.key=value`, such as `train.lr=1e-3` or
            `train.max_epochs=20`; `model=mine` applies your own preset. They are applied last.
    """
    root = Path.cwd()
    changes = [
        *([f"preset={preset}"] if preset != UNCHANGED else []),
        *([f"model={model}"] if model != UNCHANGED else []),
        *(as_overrides({"ingest.source": source}) if source else []),
        *overrides,
    ]

    def work() -> State[Any]:
        with exclusive(root, "a training flow"):
            logger = get_run_logger()
            for finding in recover(root):
                if finding.recovered:
                    logger.warning("%s", finding.message)
            params = configure(STAGES, root, changes, package="tasks")
            rename(names.run_name(FLOW, params, root))
            reachability.check()
            require_space(root)
            outbox.deliver(root)
            with Display(write=lambda words: logger.info("%s", words.strip())).running() as display:
                return walk(Workspace(root), params, partial(_announce, display))

    return _final(work, log_below=root)


def _announce(display: Display, stage: str, what: str, _seconds: float) -> None:
    """Shows a stage's progress in the run's log; the task itself logs its end."""
    if what == "running":
        display.begin(stage, next(each.does for each in STAGES if each.name == stage))
    else:
        display.end()


def rename(name: str) -> None:
    """Renames the current flow run."""
    own = FlowRunContext.get()
    assert own is not None, "rename is called inside a flow run"
    assert own.flow_run is not None
    with get_client(sync_client=True) as client:
        client.set_flow_run_name(own.flow_run.id, name)


def run_here(
    workspace: Workspace, params: Mapping[str, Any], announce: Callable[[str, str, float], None]
) -> State[Any]:
    """Runs the flow in this process; the caller holds the workspace's lock. An error is the final state's data."""

    name = names.run_name(FLOW, params, workspace.root)

    @flow(name=FLOW, flow_run_name=lambda: name, persist_result=False)
    @terminable()
    def here() -> State[Any]:
        return _final(lambda: walk(workspace, params, announce))

    with tags(*workspace_tags(workspace.root)):
        state: State[Any] = here(return_state=True)
    return state


def _final(work: Callable[[], State[Any]], *, log_below: Path | None = None) -> State[Any]:
    """The final state of ``work``; an exception becomes *Failed* with one message instead of a traceback.

    With ``log_below``, a workspace, the traceback goes to its log; without, the caller raises the state's data.
    """
    try:
        state = work()
    except Exception as error:
        state = Failed(message=str(as_hallmark_error(error, FLOW)), data=error)
    ended = state.data
    if log_below is None or not isinstance(ended, Exception) or isinstance(ended, GateRefused):
        return state
    message, _ = log_and_describe(ended, command=FLOW, root=log_below)
    get_run_logger().error("%s", message)
    return Failed(message=message, data=as_hallmark_error(ended, FLOW))


def walk(workspace: Workspace, params: Mapping[str, Any], announce: Callable[[str, str, float], None]) -> State[Any]:
    """Runs all stages in a flow run that holds the workspace's lock; the final state's data is the error, if any."""
    own = FlowRunContext.get()
    assert own is not None, "walk runs inside a flow run"
    assert own.flow_run is not None
    recover_flow_runs(workspace.root, keep=str(own.flow_run.id))
    run = Run(root=workspace.root, workspace=workspace, params=params, announce=announce)
    failed = advance(run)
    if failed is not None:
        if isinstance(failed.data, GateRefused):
            publish_refusals(run.root)
        return failed
    refused = publish(run)
    if refused:
        return Failed(name="Refused", message=refused, data=GateRefused(f"the model was refused: {refused}"))
    return Completed(message=", ".join(f"{name} {outcome}" for name, (outcome, _) in run.outcomes.items()))


def advance(run: Run, *, until: str | None = None) -> State[Any] | None:
    """Brings the stages (before ``until``) up to date in DVC's order. Returns the state of the one that failed."""
    by_name = {stage.name: stage for stage in STAGES}
    for name in run.workspace.order():
        if name == until:
            return None
        if name not in by_name:
            run.workspace.settle_by_command(name)
            if name == DEMO:
                check_sources(STAGES, run.params, run.root)
            continue
        with untagged():
            state = as_task(by_name[name], run)(return_state=True)
        if not state.is_completed():
            error = state.result(raise_on_failure=False)
            return Failed(message=f"{name}: {state.message}", data=error)
    return None


def workspace_tags(root: Path) -> list[str]:
    """Tags that identify the flow runs of a workspace."""
    return [f"workspace-{hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:12]}"]


def recover_flow_runs(root: Path, *, keep: str) -> int:
    """Sets flow runs of this workspace that a kill left *Running* to *Crashed* and returns their number.

    The caller holds the workspace's lock, so no other run in it is alive.
    """
    with get_client(sync_client=True) as client:
        left = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                tags=FlowRunFilterTags(all_=workspace_tags(root)),
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING])),
            ),
            # the synchronous client's defaults are None, which the server rejects
            sort=FlowRunSort.START_TIME_DESC,
            limit=200,
        )
        dead = [run for run in left if str(run.id) != keep]
        for run in dead:
            client.set_flow_run_state(
                run.id, Crashed(message="its process was killed; detected at the next start"), force=True
            )
    return len(dead)
