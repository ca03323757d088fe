"""Worker processes: spawned, deaf to Ctrl+C, and gone when the process that started them is, however that died."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


SPARE = 10  # seconds that a process outlives SIGTERM


def pool(workers: int, begin: Callable[..., None] | None = None, *arguments: Any) -> ProcessPoolExecutor:
    """An executor of so many processes, each of which calls ``begin`` with ``arguments`` first."""
    # spawn: a fork would copy the locks of this process's threads in whatever state they are in
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, context, initializer=_settle, initargs=(begin, *arguments))


def started(target: Callable[..., None], *arguments: Any) -> multiprocessing.process.BaseProcess:
    """One process that runs ``target``; a daemon, so that the end of this one does not wait for it."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_run, args=(target, *arguments), daemon=True)
    process.start()
    return process


def leave_signals_to_the_parent() -> None:
    """In a process of one's own: the parent decides, who may need it to finish what is at hand and keep its place.

    Ctrl+C and the end of a service reach all processes at once. After SIGTERM this one lasts :data:`SPARE` more
    seconds, for a parent that cannot close it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(SPARE))


def _settle(begin: Callable[..., None] | None, *arguments: Any) -> None:
    """In the new process."""
    # Ctrl+C reaches the whole process group; the parent alone decides
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
