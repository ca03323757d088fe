"""Thread parallelism with results that do not depend on the number of threads.

Multi-threaded kernels round sums differently for each number of threads, and on a busy machine their threads wait ten
times as long for each other. Here the caller fixes the parts and each runs its kernels on one thread: results are the
same on any number of cores.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from hallmark.contracts import runtime
from hallmark.learning import devices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]


def machine() -> devices.Machine:
    """The selected device, with one thread per kernel."""
    device = devices.select_device()
    return devices.Machine(device=device, precision=devices.select_precision("auto", device), threads=1)


@contextmanager
def mapping(machine: devices.Machine, *, parts: int) -> Iterator[Map]:
    """``map`` over at most HALLMARK_WORKERS threads, results in the order of the items; sequential on a GPU."""
    threads = min(parts, runtime.workers())
    if machine.device.type != "cpu" or threads == 1:
        yield map
        return
    # torch keeps the number of kernel threads per thread
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(machine.threads,)) as pool:
        yield pool.map
