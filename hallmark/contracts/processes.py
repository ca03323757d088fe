"""Worker processes: spawned, they ignore Ctrl+C and end when their parent ends, however it dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


_starting = threading.Lock()
SPARE = 10  # seconds a process lives on after SIGTERM


def pool(workers: int, begin: Callable[..., None] | None = None, *arguments: Any) -> ProcessPoolExecutor:
    """An executor of ``workers`` processes, each of which first calls ``begin(*arguments)``."""
    # spawn: a fork would copy the locks of this process's threads in their current state
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, context, initializer=_settle, initargs=(begin, *arguments))


def started(target: Callable[..., None], *arguments: Any) -> multiprocessing.process.BaseProcess:
    """Starts a daemon process that runs ``target``; this process can end without waiting for it.

    Unlike other spawned processes it does not import the main module, so that a script that calls this needs no
    ``if __name__ == "__main__"``. Neither ``target`` nor an argument may come from that module.
    """
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_run, args=(target, *arguments), daemon=True)
    with _starting:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            process.start()
        finally:
            sys.modules["__main__"] = main
    return process


def leave_signals_to_the_parent() -> None:
    """In a child process: leaves Ctrl+C and SIGTERM to the parent, which may need this process to save its state.

    Ctrl+C and a service stop reach all processes at once. After SIGTERM this process lives for :data:`SPARE` more
    seconds, in case the parent cannot close it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(SPARE))


def _settle(begin: Callable[..., None] | None, *arguments: Any) -> None:
    """In the new process."""
    # Ctrl+C reaches the whole process group; only the parent handles it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    if begin is not None:
        begin(*arguments)


def _run(target: Callable[..., None], *arguments: Any) -> None:
    _settle(None)
    target(*arguments)


def _end_with(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(143)
