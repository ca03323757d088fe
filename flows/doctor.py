"""``hallmark doctor``: checks the installation, device, servers and workspace."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from hallmark.contracts.errors import HallmarkError, MachineError
from hallmark.contracts.servers import without_password
from hallmark.pipeline.dvcfile import CODE, is_current, modules
from hallmark.pipeline.explanation import announce
from hallmark.pipeline.lock import exclusive, holder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PACKAGES = ("torch", "lightning", "prefect", "dvc", "mlflow", "great-expectations", "pandas", "albumentations")
LOW_SPACE = 2 << 30  # bytes


def examine(root: Path, say: Callable[[str], None]) -> int:
    """Prints one line per check. Exit status: 0 if healthy or recovered, 4 for machine faults, 2 for invalid params."""
    worst = 0
    executor = ThreadPoolExecutor(2)  # a silent server takes its whole timeout, and so does importing torch
    probes = [executor.submit(_prefect), executor.submit(_tracking)]
    say("installation")
    say(f"  python {platform.python_version()} at {sys.executable}")
    for package in PACKAGES:
        say(f"  {package} {_version(package)}")
    say("device")
    say(f"  {_device()}, {len(os.sched_getaffinity(0))} cores")
    free = shutil.disk_usage(root).free
    say(f"  {free / 2**30:.1f} GiB free here" + ("; free some space" if free < LOW_SPACE else ""))
    worst = max(worst, 4 if free < LOW_SPACE else 0)
    say("servers")
    answers = [each.result() for each in probes]
    executor.shutdown()
    for line, healthy in answers:
        say(f"  {line}")
        worst = max(worst, 0 if healthy else 4)
    registry_answers = answers[1][1]
    say("workspace")
    active = holder(root)
    if active:
        say(f"  not checked: a run is active ({active})")
        return worst
    with exclusive(root, "hallmark doctor"):
        return max(worst, _workspace(root, say, registry_answers=registry_answers))


def _workspace(root: Path, say: Callable[[str], None], *, registry_answers: bool) -> int:
    from hallmark.pipeline.closure import texts
    from hallmark.pipeline.configuration import stage_params
    from hallmark.tracking.registry import check_files
    from hallmark.versioning.health import recover
    from hallmark.versioning.recorded import with_other_code
    from hallmark.versioning.workspace import Workspace
    from tasks import STAGES

    try:
        params = stage_params(STAGES, root, package="tasks")
        say("  params.yaml is valid")
        if not is_current(root, STAGES):
            say("  dvc.yaml is not that of this version of Hallmark: run `hallmark upgrade`")
        for finding in recover(root):
            say(f"  {finding.what}: {finding.detail}" + (f"; {finding.recovered}" if finding.recovered else ""))
        space = Workspace(root)
        stale = space.changed()
        for name in space.missing_from_cache():
            say(f"  outputs of {name} are in neither the workspace nor DVC's cache: `hallmark run` recreates them")
        say(f"  not up to date: {', '.join(stale)}" if stale else "  every stage is up to date")
        if CODE in stale and (changed := with_other_code(root, texts(modules(STAGES)))):
            say(f"  {announce(changed)}")
        recorded = not {CODE, "register"} & set(stale)
        if recorded and not registry_answers:
            say("  the registry was not compared with the receipt: it cannot be reached")
        elif recorded:
            say(f"  {_receipt(root, params)}")
        sound = True
        if not registry_answers:  # a second request would wait for the timeout again
            return 4
        for line, healthy in check_files(params["register"].model_name):
            say(f"  {line}")
            sound = sound and healthy
    except HallmarkError as error:
        say(f"  {error}")
        return error.exit_code
    return 0 if sound else 4


def _receipt(root: Path, params: dict[str, object]) -> str:
    """Registers again if the registry lacks the receipt's version, as after ``dvc repro`` restored the receipt."""
    import importlib

    from hallmark.pipeline.execution import execute
    from hallmark.tracking.registry import receipt_matches
    from hallmark.versioning.workspace import Workspace
    from tasks import STAGES

    register = next(stage for stage in STAGES if stage.name == "register")
    if receipt_matches(root / "data" / "register" / "receipt.json"):
        return "the registry agrees with the receipt"
    execute(register, importlib.import_module("tasks.register"), params["register"], root)
    Workspace(root).record("register")
    return "the registry did not match the receipt; registered the model again"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "is NOT installed: install Hallmark again, or run `make setup` in a clone"


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} × {torch.cuda.get_device_name(0)}"
    if torch.backends.mps.is_available():
        return "Apple GPU (MPS)"
    return "CPU only"


def _prefect() -> tuple[str, bool]:
    from flows import prefect_server
    from flows.environment import users_have_server

    try:
        prefect_server.check()
    except MachineError as error:
        return str(error), False
    if not users_have_server():
        return "Prefect: no server configured; `hallmark run` starts its own", True
    from prefect.settings import get_current_settings

    return f"Prefect at {without_password(str(get_current_settings().api.url))} answers", True


def _tracking() -> tuple[str, bool]:
    from hallmark.tracking import address, reachability

    try:
        reachability.check()
    except MachineError as error:
        return str(error), False
    uri = address.tracking_uri()
    path = address.database(uri)
    if path is None:
        return f"MLflow at {without_password(uri)} answers", True
    return f"MLflow: {path} ({'exists' if path.exists() else 'the first run creates it'})", True
