"""Settings of the run that must not change any output byte: workers, device, where the workspace keeps its own files.

They come from the environment (flags of the command line set it) and are never params.
"""

from __future__ import annotations

import atexit
import gc
import os
from pathlib import Path

from hallmark.contracts.errors import InputError

# what has to be in the environment before the libraries are imported
ENVIRONMENT = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "1",
    "NO_ALBUMENTATIONS_UPDATE": "1",
    # OpenMP's threads spin while they wait: on a busy machine that made small networks ten times slower
    "OMP_WAIT_POLICY": "PASSIVE",
    # torch asks Linux for huge pages for its large tensors: a step touches them in a twentieth less time
    "THP_MEM_ALLOC_ENABLE": "1",
}

WORKERS = "HALLMARK_WORKERS"
DEVICE = "HALLMARK_DEVICE"
RUNNER = "HALLMARK_RUNNER"
RUNNERS = ("local", "dask", "ray")
PROCESSES = "HALLMARK_PROCESSES"
STATE = Path(".hallmark")


def prepare() -> None:
    """Sets ENVIRONMENT where the user has not: libraries neither phone home nor spin."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def spare_collector() -> None:
    """Makes Python's garbage collector look less often, and not at all while the process ends.

    For the entry points alone. What a stage imports makes 800 000 objects that are no garbage: looking through them
    took a seventh of the imports, and 2.4 of the 2.7 seconds of the end.
    """
    gc.set_threshold(50_000, *gc.get_threshold()[1:])
    atexit.register(gc.freeze)


def workers() -> int:
    """Worker processes for per-image work: HALLMARK_WORKERS, else the number of usable cores."""
    given = os.environ.get(WORKERS)
    if given is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not given.isdigit() or int(given) < 1:
        raise InputError(f"{WORKERS} is '{given}'", remedy="give a whole number of 1 or more")
    return int(given)


def runner() -> str:
    """Who does per-image work: HALLMARK_RUNNER (local, dask, ray), else 'local'."""
    given = os.environ.get(RUNNER, "local")
    if given not in RUNNERS:
        raise InputError(f"{RUNNER} (--runner) is '{given}'", remedy=f"give one of {', '.join(RUNNERS)}")
    return given


def processes() -> int:
    """Processes that train one network together: HALLMARK_PROCESSES, else 1. On GPUs each takes one."""
    given = os.environ.get(PROCESSES, "1")
    if not given.isdigit() or int(given) < 1:
        raise InputError(f"{PROCESSES} is '{given}'", remedy="give a whole number of 1 or more")
    return int(given)


def device() -> str:
    """The device asked for: HALLMARK_DEVICE (cpu, cuda, mps), else 'auto'."""
    return os.environ.get(DEVICE, "auto")


def state(root: Path = Path()) -> Path:
    """The workspace's private folder, made if need be: caches, checkpoints, refusals. In no version control."""
    folder = root / STATE
    folder.mkdir(parents=True, exist_ok=True)
    return folder
