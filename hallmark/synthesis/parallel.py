"""Work shared out to threads in parts that do not depend on their number.

Several threads within one kernel round sums by how these are shared out, and wait for each other, ten times as long
where the machine has other work. Here each part runs its kernels on one thread, and the parts are fixed by the caller:
the result is the same on any number of cores.
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
    """The device at hand, with one thread to a kernel."""
    where = devices.select_device()
    return devices.Machine(device=where, precision=devices.select_precision("auto", where), threads=1)


@contextmanager
def mapping(machine: devices.Machine, *, parts: int) -> Iterator[Map]:
    """``map`` over at most HALLMARK_WORKERS threads, with results in the order of the items; on a GPU in turn."""
    threads = min(parts, runtime.workers())
    if machine.device.type != "cpu" or threads == 1:
        yield map
        return
    # the number of threads of a kernel is each thread's own setting
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(machine.threads,)) as pool:
        yield pool.map
