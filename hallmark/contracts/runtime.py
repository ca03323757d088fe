"""Run settings that must not change any output byte: workers, device, the workspace's private folder.

They come from the environment, which command-line flags set, and are never params.
"""

from __future__ import annotations

import atexit
import gc
import os
from pathlib import Path

from hallmark.contracts.errors import InputError

# set before the libraries are imported
ENVIRONMENT = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "1",
    "NO_ALBUMENTATIONS_UPDATE": "1",
    # spinning OpenMP threads made small networks ten times slower on a busy machine
    "OMP_WAIT_POLICY": "PASSIVE",
    # huge pages for torch's large tensors make a step 5 % faster
    "THP_MEM_ALLOC_ENABLE": "1",
}

WORKERS = "HALLMARK_WORKERS"
DEVICE = "HALLMARK_DEVICE"
RUNNER = "HALLMARK_RUNNER"
RUNNERS = ("local", "dask", "ray")
PROCESSES = "HALLMARK_PROCESSES"
STATE = Path(".hallmark")


def prepare() -> None:
    """Sets each variable of ENVIRONMENT that is unset: no telemetry, no spinning threads."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def spare_collector() -> None:
    """Makes Python's garbage collector run less often, and not at all at exit. For entry points only.

    A stage's imports create 800 000 live objects; scanning them took a seventh of the import time, and 2.4 of the 2.7
    seconds of exit.
    """
    gc.set_threshold(50_000, *gc.get_threshold()[1:])
    atexit.register(gc.freeze)


def workers() -> int:
    """Worker processes for per-image work: HALLMARK_WORKERS, else the number of usable cores."""
    text = os.environ.get(WORKERS)
    if text is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not text.isdigit() or int(text) < 1:
        raise InputError(f"{WORKERS} is '{text}'", remedy="give a whole number of 1 or more")
    return int(text)


def runner() -> str:
    """Executor for per-image work: HALLMARK_RUNNER (local, dask, ray), else 'local'."""
    name = os.environ.get(RUNNER, "local")
    if name not in RUNNERS:
        raise InputError(f"{RUNNER} (--runner) is '{name}'", remedy=f"give one of {', '.join(RUNNERS)}")
    return name


def processes() -> int:
    """Processes that train one network together: HALLMARK_PROCESSES, else 1. Each uses one GPU, if there are any."""
    text = os.environ.get(PROCESSES, "1")
    if not text.isdigit() or int(text) < 1:
        raise InputError(f"{PROCESSES} is '{text}'", remedy="give a whole number of 1 or more")
    return int(text)


def device() -> str:
    """The requested device: HALLMARK_DEVICE (cpu, cuda, mps), else 'auto'."""
    return os.environ.get(DEVICE, "auto")


def state(root: Path = Path()) -> Path:
    """The workspace's private, unversioned folder for caches, checkpoints and refusals; created if missing."""
    folder = root / STATE
    folder.mkdir(parents=True, exist_ok=True)
    return folder
