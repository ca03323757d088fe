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


def pool(workers: int, begin: Callable[..., None] | None = None, *arguments: Any) -> ProcessPoolExecutor:
    """An executor of so many processes, each of which calls ``begin`` with ``arguments`` first."""
    # spawn: a fork would copy the locks of this process's threads in whatever state they are in
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, context, initializer=_settle, initargs=(begin, *arguments))


def _settle(begin: Callable[..., None] | None, *arguments: Any) -> None:
    """In the new process."""
    # Ctrl+C reaches the whole process group; the parent alone decides
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    if begin is not None:
        begin(*arguments)


def _end_with(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(143)
