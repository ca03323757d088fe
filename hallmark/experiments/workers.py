"""Worker processes for trainings: torch's threads, generators and settings are per process.

A process runs many trainings.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hallmark.contracts import processes, runtime

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from concurrent.futures import ProcessPoolExecutor
    from pathlib import Path


@contextmanager
def pool(jobs: int, *, log: Path, environment: Mapping[str, str]) -> Iterator[ProcessPoolExecutor]:
    """An executor of ``jobs`` processes that write their output to ``log``; an exception kills them at once."""
    log.parent.mkdir(parents=True, exist_ok=True)
    executor = processes.pool(jobs, _settle, str(log), shares(jobs) | dict(environment))
    try:
        yield executor
    except BaseException:
        kill(executor)
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def kill(executor: ProcessPoolExecutor) -> None:
    """Kills the processes; their jobs fail with BrokenProcessPool."""
    for process in list((executor._processes or {}).values()):
        process.kill()


def shares(jobs: int) -> dict[str, str]:
    """Environment that limits each process to its share of the cores; empty for one job, never overriding the user."""
    if jobs == 1:
        return {}
    cores = max(1, runtime.workers() // jobs)
    return {name: str(cores) for name in (runtime.WORKERS, "OMP_NUM_THREADS") if name not in os.environ}


def _settle(log: str, environment: dict[str, str]) -> None:
    """In the new process: redirects all output from the terminal to the log."""
    os.environ.update(environment)
    stream = open(log, "a", buffering=1, encoding="utf-8")
    sys.stdout = sys.stderr = stream
    logging.basicConfig(stream=stream, level=logging.WARNING, force=True)
