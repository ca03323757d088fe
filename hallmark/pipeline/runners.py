"""Executors for per-image work: local processes, a Dask cluster or Ray. The results are the same.

Dask uses the scheduler at ``DASK_SCHEDULER_ADDRESS``, Ray the cluster at ``RAY_ADDRESS``; without one, each starts
workers on this machine. The workers need the same installation, since functions are sent by name.
"""

from __future__ import annotations

import contextlib
import importlib
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hallmark.contracts import runtime
from hallmark.contracts.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True, kw_only=True)
class Runner:
    """``executor`` is None for local processes, which rooms start themselves; ``workers`` is their number."""

    executor: Executor | None
    workers: int


@contextlib.contextmanager
def runner() -> Iterator[Runner]:
    """The runner that HALLMARK_RUNNER names. Raises InputError for an unknown one, MachineError if it is unavailable.

    Workers started here end with the block; a cluster that was already running continues.
    """
    match runtime.runner():
        case "dask":
            with _dask() as started_runner:
                yield started_runner
        case "ray":
            with _ray() as started_runner:
                yield started_runner
        case _:
            yield Runner(executor=None, workers=runtime.workers())


@contextlib.contextmanager
def _dask() -> Iterator[Runner]:
    dask, distributed = _library("dask", "dask"), _library("distributed", "dask")
    with contextlib.ExitStack() as stack:
        address = dask.config.get("scheduler-address", None)
        if address is None:
            address = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=runtime.workers(), threads_per_worker=1, host="127.0.0.1", dashboard_address=None
                )
            )
        try:
            client = stack.enter_context(distributed.Client(address, set_as_default=False))
        except (OSError, TimeoutError, ValueError) as error:
            raise MachineError(
                f"{runtime.RUNNER} is dask, but there is no scheduler at {address}: {error}",
                remedy="start it, or unset DASK_SCHEDULER_ADDRESS to have workers started here",
            ) from error
        workers = sum(client.nthreads().values())
        yield Runner(executor=stack.enter_context(client.get_executor()), workers=max(workers, 1))


@contextlib.contextmanager
def _ray() -> Iterator[Runner]:
    ray = _library("ray", "ray")
    started = not ray.is_initialized()
    if started:
        try:
            ray.init(log_to_driver=False, include_dashboard=False, configure_logging=False, **_ray_size())
        except Exception as error:  # Ray raises a bare Exception if its node does not start
            raise MachineError(
                f"{runtime.RUNNER} is ray, but Ray does not start: {error}",
                remedy="correct RAY_ADDRESS, or unset it to have workers started here",
            ) from error
    try:
        yield Runner(executor=RayExecutor(ray), workers=max(int(ray.cluster_resources().get("CPU", 1)), 1))
    finally:
        if started:
            ray.shutdown()


def _ray_size() -> dict[str, int]:
    import os

    # the size of a running cluster is fixed
    return {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": runtime.workers()}


class RayExecutor(Executor):
    """The ``submit`` of :mod:`concurrent.futures` on Ray's tasks."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._remote: dict[Callable[..., Any], Any] = {}

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if fn not in self._remote:
            self._remote[fn] = self._ray.remote(fn)
        future: Future[Any] = self._remote[fn].remote(*args, **kwargs).future()
        return future


def _library(name: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MachineError(
            f"{runtime.RUNNER} is {runtime.runner()}, but the package {name} is not installed",
            remedy=f"pip install 'hallmark-ml[{extra}]', or run without --runner",
        ) from error
